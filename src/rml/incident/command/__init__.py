"""Who leads, who does what, and who must hear of it by when."""
