"""Files to and from a host: put whole or not at all, got under our own names, digests of both sides compared.

The bytes go over SFTP where the host has it, else through commands (`dd`, `cat`). What comes before and after is told to the
host's `sh`, whose words say what stood in the way: SFTP has but one for a full disk, a quota and most of the rest.
"""

from remote.files.transfer import Destination, Part, Progress, Reason, Transfer, TransferFailed

__all__ = ["Destination", "Part", "Progress", "Reason", "Transfer", "TransferFailed"]
