"""What the exceptions of smtplib say about a mail."""

import smtplib
import socket

import pytest
from hostile import (
    BLINK_SECONDS,
    BROKEN,
    HOST,
    PATIENCE_SECONDS,
    Behaviour,
    Ending,
    HostileServer,
    refusing,
    verdict,
)
from http_verdicts import Serve


def mail_server(
    replies: dict[str, str], ending: Ending | None = None, *, effect: bool = False
) -> Behaviour:
    """Speak SMTP, answer the commands named here so, and end a mail so once it is all there.

    "." stands for the mail itself, and "" for the greeting.
    """

    def behave(server: HostileServer, connection: socket.socket) -> None:
        usual = {"": "220 hello", "DATA": "354 go on", ".": "250 taken", "QUIT": "221 bye"}
        said = {**usual, **replies}
        stream = connection.makefile("rwb", buffering=0)

        def reply(command: str) -> str:
            text = said.get(command, "250 fine")
            stream.write(f"{text}\r\n".encode())
            return text

        reply("")
        while line := stream.readline():
            command = line.split()[0].decode().upper()
            if reply(command).startswith("354"):
                while stream.readline() != b".\r\n":
                    pass
                server.effects += effect
                if ending is not None:
                    ending(connection)
                    return
                reply(".")

    return behave


def mail(port: int, *, timeout: float = PATIENCE_SECONDS, login: bool = False) -> None:
    """Send a mail to one person."""
    with smtplib.SMTP(HOST, port, timeout=timeout) as client:
        if login:
            client.login("me", "secret")
        client.sendmail("me@example.org", ["you@example.org"], "Paid.")


def test_a_refused_connection_sent_no_mail() -> None:
    """Nobody listened."""
    with refusing() as url:
        assert verdict(None, mail, int(url.split(":")[2].split("/")[0])) is False


@pytest.mark.parametrize(
    ("replies", "raised"),
    [
        ({"": "554 no"}, smtplib.SMTPConnectError),
        ({"EHLO": "502 no", "HELO": "502 no"}, smtplib.SMTPHeloError),
        ({"MAIL": "550 no"}, smtplib.SMTPSenderRefused),
        ({"MAIL": "421 closing"}, smtplib.SMTPSenderRefused),
        ({"RCPT": "550 no"}, smtplib.SMTPRecipientsRefused),
        ({"RCPT": "421 closing"}, smtplib.SMTPRecipientsRefused),
        ({"DATA": "451 later"}, smtplib.SMTPDataError),
        ({".": "451 later"}, smtplib.SMTPDataError),
        ({".": "554 no"}, smtplib.SMTPDataError),
    ],
    ids=str,
)
def test_a_mail_that_was_refused(
    replies: dict[str, str], raised: type[BaseException], serve: Serve
) -> None:
    """The server has answered that it does not take it, at whichever command."""
    server = serve(mail_server(replies))
    with pytest.raises(raised):
        mail(server.port)
    server = serve(mail_server(replies))
    assert verdict(server, mail, server.port) is False


@pytest.mark.parametrize(
    ("greeting", "raised"),
    [
        ("250-hello\r\n250 AUTH PLAIN", smtplib.SMTPAuthenticationError),
        ("250 hello", smtplib.SMTPNotSupportedError),
    ],
)
def test_a_login_that_fails_sent_no_mail(
    greeting: str, raised: type[BaseException], serve: Serve
) -> None:
    """It comes before the mail."""
    replies = {"EHLO": greeting, "AUTH": "535 no"}
    server = serve(mail_server(replies))
    with pytest.raises(raised):
        mail(server.port, login=True)
    server = serve(mail_server(replies))
    assert verdict(server, mail, server.port, login=True) is False


@pytest.mark.parametrize("effect", [False, True])
@pytest.mark.parametrize("ending", ["silence", "reset", "hang up"])
def test_a_mail_whose_receipt_is_lost_leaves_it_unknown(
    ending: str, effect: bool, serve: Serve
) -> None:
    """It was all there, and was taken or not."""
    server = serve(mail_server({}, BROKEN[ending][0], effect=effect))
    assert verdict(server, mail, server.port, timeout=BROKEN[ending][1]) is None


@pytest.mark.parametrize("effect", [False, True])
def test_a_server_that_closes_down_leaves_it_unknown(effect: bool, serve: Serve) -> None:
    """421 is no answer to the mail."""
    server = serve(mail_server({".": "421 closing"}, effect=effect))
    assert verdict(server, mail, server.port) is None


def test_a_server_that_says_nothing_leaves_it_unknown(serve: Serve) -> None:
    """A timeout does not say what it waited for."""

    def behave(_server: HostileServer, connection: socket.socket) -> None:
        connection.recv(1)

    server = serve(behave)
    assert verdict(server, mail, server.port, timeout=BLINK_SECONDS) is None
