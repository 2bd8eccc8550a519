"""The static check behind `rml lint`: what can repeat an effect or lose history, by file and line.

It reads source and imports none of it. What a name means is followed within one file: through
imports, aliases, assignments, annotations and calls between that file's functions. What cannot be
followed is not reported.
"""
