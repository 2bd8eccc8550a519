"""What the exceptions of Amazon's botocore, and so of boto3, say about an effect."""

import functools
from typing import Any, ClassVar

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from hostile import (
    PATIENCE_SECONDS,
    after_reading,
    answering,
    failure,
    refusing,
    reset,
    then_refuse,
    verdict,
)
from http_verdicts import Serve, SessionVerdicts

from rml.clients import REFUSED_STATUSES
from rml.verdict import happened_of


@functools.cache
def _session() -> Any:
    return botocore.session.Session(profile=None)


class TestBotocore(SessionVerdicts):
    """A client of SQS that sends once."""

    refused: ClassVar[frozenset[int]] = REFUSED_STATUSES
    refusal: ClassVar[object] = {"__type": "InvalidParameterValue", "message": "No."}
    tunnel_refusal: ClassVar[bool | None] = None  # told by a text alone
    unnoticed: ClassVar[frozenset[str]] = frozenset({"half a body"})

    def post(
        self,
        url: str,
        *,
        timeout: float = PATIENCE_SECONDS,
        connect: float = PATIENCE_SECONDS,
        method: str = "POST",
        times: int = 1,
        proxy: str | None = None,
        tries: int = 1,
        mode: str = "standard",
    ) -> None:
        """Send messages."""
        config = Config(
            region_name="eu-west-1",
            connect_timeout=connect,
            read_timeout=timeout,
            retries={"total_max_attempts": tries, "mode": mode},
            proxies={"http": proxy, "https": proxy} if proxy else {},
        )
        endpoint = url.removesuffix("/charge")
        client = _session().create_client(
            "sqs",
            endpoint_url=endpoint,
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=config,
        )
        try:
            for _ in range(times):
                client.send_message(QueueUrl=f"{endpoint}/1/queue", MessageBody="charge")
        finally:
            client.close()


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits before it tries again."""
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
@pytest.mark.parametrize("effect", [False, True])
def test_a_retry_that_was_refused_leaves_it_unknown(effect: bool, mode: str, serve: Serve) -> None:
    """It retries by itself unless told not to: one lost answer, then a refusal of either kind."""
    lost = after_reading(answering(503), effect=effect)
    down = serve(then_refuse(lost))
    assert verdict(down, TestBotocore().post, down.url, tries=2, mode=mode) is None
    lost = after_reading(reset, effect=effect)
    refusing_again = serve(lost, after_reading(answering(400, TestBotocore.refusal)))
    error = failure(TestBotocore().post, refusing_again.url, tries=2, mode=mode)
    assert isinstance(error, ClientError)
    assert happened_of(error) is None


@pytest.mark.usefixtures("_no_pauses")
def test_retries_that_never_connected_leave_it_unknown() -> None:
    """Its exception shows how often it tried, not how the tries before ended."""
    with refusing() as url:
        assert verdict(None, TestBotocore().post, url, tries=2) is None


def test_a_refusal_without_a_traceback_leaves_it_unknown() -> None:
    """Then nothing proves that the refused request was the only one."""
    with refusing() as url:
        error = failure(TestBotocore().post, url)
    assert happened_of(error) is False
    assert happened_of(error.with_traceback(None)) is None


@pytest.mark.parametrize(
    "code", ["ConditionalCheckFailedException", "ResourceInUseException", "QueueAlreadyExists"]
)
def test_a_code_that_tells_of_something_done_before_leaves_it_unknown(
    code: str, serve: Serve
) -> None:
    """What stands in the way may be this request's own double."""
    server = serve(after_reading(answering(400, {"__type": code, "message": "No."}), effect=True))
    assert verdict(server, TestBotocore().post, server.url) is None


def test_what_the_client_refuses_carried_nothing(serve: Serve) -> None:
    """A parameter is missing, so no request is made."""
    client = _session().create_client("sqs", region_name="eu-west-1")
    error = failure(client.send_message)
    client.close()
    assert isinstance(error, ParamValidationError)
    assert happened_of(error) is False
