"""Practice hosts: SSH servers on loopback that are ill in known ways, for training, the demo and the documentation.

Where the machine allows it they run longarm's bundle in a real shell over the files and commands of their scenario
(`namespace.py`, `world.py`, `play.py`); elsewhere they answer it from captured answers (`replies.py`). What was not
captured is not made up: a command refuses it, a question is answered as not run.
"""
