"""Practice hosts: SSH servers on loopback that answer longarm's bundle from captured answers.

They serve training, the demo and the documentation. They are no test of the bundle: only a real
shell is (design, `remote/lab`). What was not captured is not made up: it is answered as not run.
"""
