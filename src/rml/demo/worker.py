"""One worker of the shop, in a process of its own: it says `ready`, and charges one order.

Its second line is the charge's id, if it lives to see one: the story kills it with signal 9 after
the gateway has charged and before it has answered.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import rml
from rml.clock import SeededIds
from rml.demo.gateway_client import Gateway
from rml.demo.shop import LEDGER, SERVICE, Order, Shop, charging_once

IDS_SEED = 9
"""Not the seed of the story itself: two entries with one id would be refused."""


def main(arguments: list[str] | None = None) -> None:
    """Charge one order."""
    parser = argparse.ArgumentParser(prog="python -m rml.demo.worker", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="of the shop")
    parser.add_argument("--gateway", required=True, help="its address")
    parser.add_argument("--now", required=True, help="the time of day in the story, RFC 3339")
    parser.add_argument("payment_id")
    parser.add_argument("customer_id")
    parser.add_argument("amount", type=int)
    options = parser.parse_args(arguments)
    shop = Shop.at(options.folder, Gateway(options.gateway))
    order = Order(options.payment_id, options.customer_id, options.amount)
    ledger = rml.Ledger(
        options.folder / LEDGER,
        create=False,
        service=SERVICE,
        clock=rml.FrozenClock(options.now),
        ids=SeededIds(IDS_SEED),
    )
    with ledger, rml.use(ledger=ledger):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdout.write(order.pay(charging_once(shop)) + "\n")


if __name__ == "__main__":
    main()
