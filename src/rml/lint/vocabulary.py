"""The names of other people's libraries that the rules know, and those of rml's front door."""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

_VERBS: Final = ("post", "put", "patch", "delete")


def _verbs(*clients: str) -> Iterator[str]:
    return (f"{client}.{verb}" for client in clients for verb in _VERBS)


def _of(client: str, *methods: str) -> Iterator[str]:
    return (f"{client}.{method}" for method in methods)


# Calls that change something at somebody else's. `*` stands for any characters. What creates an
# instance is written like the instance: `httpx.Client().post` is `httpx.Client.post`.
EFFECTFUL: Final[tuple[str, ...]] = (
    *_verbs("requests", "requests.Session", "requests.session", "requests.sessions.Session"),
    *_verbs("httpx", "httpx.Client", "httpx.AsyncClient", "aiohttp.ClientSession"),
    *_verbs("urllib3.PoolManager", "urllib3.*.PoolManager"),
    *_of("stripe.*", "create", "capture", "confirm", "cancel", "refund", "pay", "reverse"),
    *_of("stripe.*", "create_async", "capture_async", "confirm_async", "cancel_async"),
    *_of("stripe.*", "pay_async", "void_invoice", "send_invoice", "finalize_invoice"),
    *_of("braintree.*", "sale", "refund", "void", "submit_for_settlement"),
    *_of("boto3.*", "publish", "publish_batch", "send_message", "send_message_batch"),
    *_of("boto3.*", "put_item", "transact_write_items", "put_record", "put_records", "put_events"),
    *_of("boto3.*", "send_email", "send_raw_email", "start_execution"),
    *_of("smtplib.*", "send_message", "sendmail"),
    "aiosmtplib.send",
    *_of("django.core.mail", "send_mail", "send_mass_mail"),
    "django.core.mail.*.send",
    "twilio.rest.*.create",
    "sendgrid.*.send",
    "kafka.KafkaProducer.send",
    *_of("aiokafka.AIOKafkaProducer", "send", "send_and_wait"),
    "confluent_kafka.Producer.produce",
    "pika.*.basic_publish",
    "google.cloud.pubsub_v1.*.publish",
)

# Decorators that call again what failed.
RETRYING: Final = frozenset(
    {
        *("rml.retry", "rml.effect.retry.retry", "stamina.retry", "tenacity.retry"),
        *("backoff.on_exception", "backoff.on_predicate", "retrying.retry", "retry.retry"),
    }
)
# What a `for` goes over to repeat its body.
ATTEMPTS: Final = frozenset(
    {
        *("rml.retry", "rml.effect.retry.retry", "stamina.retry_context"),
        *("tenacity.Retrying", "tenacity.AsyncRetrying"),
    }
)
COUNTERS: Final = frozenset({"range", "itertools.count", "itertools.repeat"})
# Adapters of urllib3 that repeat requests by themselves.
TRANSPORT_RETRIES: Final = frozenset(
    {
        *("urllib3.Retry", "urllib3.util.Retry", "urllib3.util.retry.Retry"),
        *("requests.packages.urllib3.util.retry.Retry", "requests.adapters.Retry"),
    }
)

# What of rml raises its errors in ordinary use.
RAISING: Final = (
    *("rml.Ledger.*", "rml.current_ledger.*", "rml.Casebook.*"),
    *("rml.reconcile", "rml.resume_sagas"),
)
# Calls that hand an error over to somebody, or that do not return.
HANDING_OVER: Final = frozenset({"escalate", "suspect"})
ENDING: Final = frozenset(
    {"sys.exit", "exit", "quit", "os._exit", "os.abort", "pytest.fail", "pytest.skip"}
)
# Calls that only tell of an error. What they are given has been handed to nobody.
TELLING: Final = frozenset(
    {
        *("debug", "info", "warning", "warn", "error", "exception", "critical", "log", "echo"),
        *("print", "print_exc", "print_exception", "format_exc"),
    }
)
BROAD: Final = frozenset(
    {"Exception", "BaseException", "builtins.Exception", "builtins.BaseException"}
)


def is_rml(name: str, *words: str) -> bool:
    """Say whether a dotted name is one of these names of rml, by whichever module it came."""
    root, _, rest = name.partition(".")
    return root == "rml" and rest.rpartition(".")[2] in words


class Patterns:
    """Dotted names with ``*`` for any characters."""

    def __init__(self, patterns: Sequence[str]) -> None:
        by_end: dict[str, list[str]] = defaultdict(list)
        for pattern in patterns:
            end = pattern.rpartition(".")[2]
            by_end["*" if "*" in end else end].append(fnmatch.translate(pattern))
        self.roots: frozenset[str] = frozenset(pattern.partition(".")[0] for pattern in patterns)
        self._by_end = {end: re.compile("|".join(texts)) for end, texts in by_end.items()}

    def may_end_in(self, word: str) -> bool:
        """Say whether any name that ends in this word can match; it is asked of every call."""
        return word in self._by_end or "*" in self._by_end

    def may_be_in(self, text: str, package: str) -> bool:
        """Say whether a file can have names that match; most files need no closer look."""
        return any("*" in root or root == package or root in text for root in self.roots)

    def match(self, name: str) -> bool:
        """Say whether a name matches."""
        end = name.rpartition(".")[2]
        candidates = (self._by_end.get(end), self._by_end.get("*"))
        return any(pattern is not None and pattern.match(name) for pattern in candidates)
