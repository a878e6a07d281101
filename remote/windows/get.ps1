# Sends a regular file; bundle.py writes $LaPath, $LaAt (where to begin), $LaMost and $LaNeedsAdmin before it.
$LaPiece = 49152

function Get-LaDigest($Hash) {
    return [BitConverter]::ToString($Hash.Hash).Replace('-', '').ToLowerInvariant()
}

function Send-LaFile {
    if ($LaNeedsAdmin -and -not $LaAdmin) { return Write-LaLine 'denied' }
    $kind = [IO.File]::GetAttributes($LaPath)
    if ($kind -band [IO.FileAttributes]::Directory) { return Write-LaLine 'stopped is_directory' }
    if ($kind -band [IO.FileAttributes]::Device) { return Write-LaLine 'stopped not_regular' }
    $share = [IO.FileShare]::ReadWrite -bor [IO.FileShare]::Delete
    $file = New-Object IO.FileStream($LaPath, [IO.FileMode]::Open, [IO.FileAccess]::Read, $share)
    try {
        $size = $file.Length
        Write-LaLine "size $size"
        if ($size -gt $LaMost) { return Write-LaLine 'stopped too_large' }
        $hash = [Security.Cryptography.SHA256]::Create()
        $buffer = New-Object byte[] $LaPiece
        $at = 0
        while ($at -lt $size) {
            $got = $file.Read($buffer, 0, [int][Math]::Min($LaPiece, $size - $at))
            if ($got -le 0) { return Write-LaLine 'stopped shrank' }
            $null = $hash.TransformBlock($buffer, 0, $got, $null, 0)
            $at += $got
            if ($at -gt $LaAt) {
                $from = [int][Math]::Max(0, $got - ($at - $LaAt))
                Write-LaLine "piece $([Convert]::ToBase64String($buffer, $from, $got - $from))"
                Send-LaLines
            }
        }
        $null = $hash.TransformFinalBlock($buffer, 0, 0)
        Write-LaLine "whole $size $(Get-LaDigest $hash)"
    } finally {
        $file.Close()
    }
}

try {
    Send-LaFile
} catch {
    $trouble = $_.Exception
    if ($null -ne $trouble.InnerException) { $trouble = $trouble.InnerException }
    $kind = $trouble.GetType().Name
    Write-LaLine "failed $('0x{0:X8}' -f $trouble.HResult) $(Get-LaWord $kind)"
}
Send-LaLines
exit 0
