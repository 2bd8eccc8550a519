"""How an incident begins: signals, the commit that opens or joins one, and who is told then."""
