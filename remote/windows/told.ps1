# What is told of a detached command: a heading, then its stdout, as the stdout of a command; its stderr. Part of start.ps1 and
# collect.ps1, behind places.ps1; $LaOutFrom and $LaErrFrom say how much of it has arrived before, $LaPiece how many bytes of stdout
# may come at once, $LaMostErr and $LaTailErr how much of stderr is kept in all, and as its end.

# Sends a piece of stdout or stderr as a command's (command_lines.py).
function Send-LaBytes([string]$Stream, [byte[]]$Bytes, [int]$Length) {
    Write-LaLine "$Stream $([Convert]::ToBase64String($Bytes, 0, $Length))"
    Send-LaLines
}

# Returns what is kept of a stream, as pieces of files: all of it or, where it was too much, its head and its tail. As long as it
# may become too much nothing is told that the tail could take the place of.
function Get-LaKept($Standing, [string]$Stream, [long]$Most, [long]$Tail) {
    $path = "$($Standing.Folder)\$Stream"
    $room = $Most
    if ([IO.File]::Exists("$path.tail") -or $Standing.State -eq 'running') { $room = $Most - $Tail }
    if ([IO.File]::Exists($path)) { @{ Path = $path; Size = [Math]::Min($room, (New-Object IO.FileInfo $path).Length) } }
    if ([IO.File]::Exists("$path.tail")) { @{ Path = "$path.tail"; Size = (New-Object IO.FileInfo "$path.tail").Length } }
}

# Does something with each piece of what is kept from an offset on, so many bytes at the most.
function Read-LaKept($Pieces, [long]$From, [long]$Most, [scriptblock]$Work) {
    $buffer = New-Object byte[] 49152
    foreach ($piece in $Pieces) {
        $skip = [Math]::Min($From, $piece.Size)
        $From -= $skip
        $left = [Math]::Min($piece.Size - $skip, $Most)
        $Most -= $left
        $file = Open-LaFile $piece.Path 'Open' 'Read' 'ReadWrite, Delete'
        try {
            $null = $file.Seek($skip, [IO.SeekOrigin]::Begin)
            while ($left -gt 0 -and ($got = $file.Read($buffer, 0, [int][Math]::Min($left, $buffer.Length))) -gt 0) {
                $null = & $Work $buffer $got
                $left -= $got
            }
        } finally {
            $file.Close()
        }
    }
}

function Get-LaSize($Pieces) {
    $size = [long]0
    foreach ($piece in $Pieces) { $size += $piece.Size }
    return $size
}

function Send-LaHeading($Standing, [string[]]$More = @()) {
    $lines = @("state $($Standing.State)", "reason $($Standing.Reason)", "status $($Standing.Status)", "ms $($Standing.Ms)", "cuts $($Standing.Cuts)", "boot $LaBoot", "place $($Standing.Place)")
    if ($Standing.Pids) { $lines += "pids $($Standing.Pids)" }
    if ($Standing.Why) { $lines += "why $($Standing.Why)" }
    $bytes = [Text.Encoding]::UTF8.GetBytes((($lines + $More) -join "`n") + "`n`n")
    Send-LaBytes 'out' $bytes $bytes.Length
}

# Tells how a command stands, and what there is of its output.
function Send-LaAnswer($Standing) {
    if (-not $Standing.Folder) { return Send-LaHeading $Standing }
    $out = @(Get-LaKept $Standing 'out' $Standing.Most $Standing.Tail)
    $err = @(Get-LaKept $Standing 'err' $LaMostErr $LaTailErr)
    $more = @("sizes $(Get-LaSize $out) $(Get-LaSize $err)")
    if ($LaOutFrom -gt 0 -and $Standing.State -ne 'running') {
        $hash = [Security.Cryptography.SHA256]::Create()
        Read-LaKept $out 0 ([long]::MaxValue) { param($Bytes, $Length) $hash.TransformBlock($Bytes, 0, $Length, $null, 0) }
        $null = $hash.TransformFinalBlock((New-Object byte[] 0), 0, 0)
        $more += 'sum ' + [BitConverter]::ToString($hash.Hash).Replace('-', '').ToLowerInvariant()
    }
    Send-LaHeading $Standing $more
    Read-LaKept $out $LaOutFrom $LaPiece { param($Bytes, $Length) Send-LaBytes 'out' $Bytes $Length }
    Read-LaKept $err $LaErrFrom $LaMostErr { param($Bytes, $Length) Send-LaBytes 'err' $Bytes $Length }
}

# Does the work of a script; what goes wrong is told, and is no answer.
function Invoke-LaTelling([scriptblock]$Work) {
    Write-LaLine 'begin'
    Send-LaLines
    $end = 0
    try {
        & $Work
    } catch {
        $bytes = [Text.Encoding]::UTF8.GetBytes((Get-LaError $_))
        Send-LaBytes 'err' $bytes $bytes.Length
        $end = 1
    } finally {
        Unlock-LaPlaces
        # of those that were made for nothing: one that holds something is not deleted so
        foreach ($place in $LaKnown.Made) { try { [IO.Directory]::Delete($place) } catch { $null = $_ } }
    }
    Write-LaLine "ended $end"
    Send-LaLines
}
