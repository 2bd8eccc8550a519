"""RML110: history that nobody can stop."""

import rml
from rml import World

OFF = False


@rml.idempotent("payment.a", key="key", lever=False)  # expect: RML110
def stays_on(key: str) -> None: ...


@rml.idempotent("payment.b", key="key", world="RML3", lever=False)  # expect: RML110
def says_history(key: str) -> None: ...


@rml.idempotent("payment.c", key="key", world=World.RML3, lever=False)  # expect: RML110
def names_history(key: str) -> None: ...


@rml.idempotent("payment.d", key="key", world=rml.World.RML2, lever=False)
def converges(key: str) -> None: ...


@rml.idempotent("payment.e", key="key", world="rml2", lever=False)
def says_dialog(key: str) -> None: ...


@rml.idempotent("payment.f", key="key")
def has_one(key: str) -> None: ...


@rml.idempotent("payment.g", key="key", lever=True)
def says_so(key: str) -> None: ...


@rml.guard("payments.all")
@rml.idempotent("payment.h", key="key", lever=False)
def has_another(key: str) -> None: ...


@rml.idempotent("payment.i", key="key", lever=OFF)
def cannot_be_followed(key: str) -> None: ...
