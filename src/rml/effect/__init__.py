"""Effects: what is promised before it is done, recorded after, and never blindly done again."""
