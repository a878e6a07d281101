# Takes a file from stdin, in lines of base64 behind the script; bundle.py writes $LaPath, $LaPart, $LaAt, $LaSize, $LaDigest and
# $LaNeedsAdmin before it. The part lies beside its goal and takes its place whole: what stood there is replaced, or stays.
function Get-LaDigest {
    $file = [IO.File]::OpenRead($LaPart)
    try {
        $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($file)
    } finally {
        $file.Close()
    }
    return [BitConverter]::ToString($hash).Replace('-', '').ToLowerInvariant()
}

function Read-LaPieces($File) {
    while ($null -ne ($line = [Console]::In.ReadLine())) {
        if ($line -eq '.') { return }
        $bytes = [Convert]::FromBase64String($line)
        $File.Write($bytes, 0, $bytes.Length)
    }
}

function Receive-LaFile {
    if ($LaNeedsAdmin -and -not $LaAdmin) { return Write-LaLine 'denied' }
    if ([IO.Directory]::Exists($LaPath)) { return Write-LaLine 'stopped is_directory' }
    if (-not [IO.Directory]::Exists([IO.Path]::GetDirectoryName($LaPath))) { return Write-LaLine 'stopped no_folder' }
    $mode = if ($LaAt -gt 0) { [IO.FileMode]::Open } else { [IO.FileMode]::CreateNew }
    $file = New-Object IO.FileStream($LaPart, $mode, [IO.FileAccess]::Write, [IO.FileShare]::None)
    $LaState.Ours = $true
    try {
        if ($file.Length -lt $LaAt) { return Write-LaLine 'stopped part_lost' }
        $file.SetLength($LaAt)
        $null = $file.Seek($LaAt, [IO.SeekOrigin]::Begin)
        Read-LaPieces $file
        $file.Flush($true)
        $arrived = $file.Length
    } finally {
        $file.Close()
    }
    if ($arrived -lt $LaSize) { return Write-LaLine "part $arrived" }
    if ($arrived -ne $LaSize -or (Get-LaDigest) -ne $LaDigest) {
        [IO.File]::Delete($LaPart)
        return Write-LaLine 'stopped differs'
    }
    if ([IO.File]::Exists($LaPath)) { [IO.File]::Replace($LaPart, $LaPath, [NullString]::Value) } else { [IO.File]::Move($LaPart, $LaPath) }
    Write-LaLine "whole $arrived $LaDigest"
}

try {
    Receive-LaFile
} catch {
    $trouble = $_.Exception
    if ($null -ne $trouble.InnerException) { $trouble = $trouble.InnerException }
    if ($LaState.Ours) { try { [IO.File]::Delete($LaPart) } catch { $null = $_ } }
    $kind = $trouble.GetType().Name
    Write-LaLine "failed $('0x{0:X8}' -f $trouble.HResult) $(Get-LaWord $kind)"
}
Send-LaLines
exit 0
