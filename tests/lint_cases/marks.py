"""RML198 and RML199, and violations that somebody has accepted."""

import requests

URL = "https://cache.example"


def accepted() -> None:
    requests.post(URL)  # rml: ok it fills a cache of our own
    requests.post(URL)  # rml:ok: written in a hurry
    # rml: ok it fills a cache of our own
    requests.post(URL)
    # rml: ok it fills a cache of our own,
    # and twice does no harm
    requests.post(URL)

    # rml: ok the line below is about the cache

    requests.post(
        URL,
    )


def not_accepted() -> None:
    requests.post(URL)  # rml: ok  # expect: RML198
    # rml: ok  # expect: RML198
    requests.post(URL)
    requests.get(URL)  # rml: ok it only reads  # expect: RML199
    # rml: ok it is above the wrong line  # expect: RML199
    requests.get(URL)
    requests.post(URL)  # expect: RML101
    text = "# rml: ok in a text it is no mark"
    requests.post(text)  # expect: RML101
    requests.post(URL)  # rml: okay, almost  # expect: RML101


# rml: ok at the end there is nothing to accept  # expect: RML199
