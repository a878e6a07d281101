"""A practice Windows host: WS-Management over HTTP, as a Windows machine speaks it, on loopback.

Nothing here runs PowerShell: a command that is known is answered as it was captured, any other is refused.
"""
