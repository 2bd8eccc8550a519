"""The demonstration: a story told with real parts and fake money.

`gateway` is a payment gateway in a process of its own that charges whatever it is asked and can
lose its answers; `gateway_client` starts it and talks to it. The library itself uses none of this.
"""
