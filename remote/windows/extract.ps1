# Says lines of a text file, at most the last $most bytes of them in UTF-8. Given, all as text: path, most, last (or empty) and
# pattern (or empty). What stands in the way is thrown by its number: the words are in the machine's language.
$LaLargest = 64MB

function Read-LaTail([string]$Path) {
    $share = [IO.FileShare]::ReadWrite -bor [IO.FileShare]::Delete
    $file = New-Object IO.FileStream($Path, [IO.FileMode]::Open, [IO.FileAccess]::Read, $share)
    try {
        $size = [Math]::Min($file.Length, $LaLargest)
        if ($last -eq '' -and $pattern -eq '') { $size = [Math]::Min($size, 4 * ([long]$most + 1)) }
        $first = New-Object byte[] 3
        $null = $file.Read($first, 0, 3)
        $null = $file.Seek($file.Length - $size, [IO.SeekOrigin]::Begin)
        $bytes = New-Object byte[] $size
        $at = 0
        while ($at -lt $size) {
            $got = $file.Read($bytes, $at, [int]($size - $at))
            if ($got -le 0) { break }
            $at += $got
        }
        return @{ First = $first; Bytes = $bytes; Length = $at; Whole = ($size -eq $file.Length) }
    } finally {
        $file.Close()
    }
}

# Returns the text: by its mark, else UTF-8 if it is that, else the code page of the machine.
function Get-LaText($Tail) {
    $mark = $Tail.First
    if ($mark[0] -eq 0xFF -and $mark[1] -eq 0xFE) {
        return [Text.Encoding]::Unicode.GetString($Tail.Bytes, 0, $Tail.Length - $Tail.Length % 2).TrimStart([char]0xFEFF)
    }
    $begin = 0
    while (-not $Tail.Whole -and $begin -lt 4 -and $begin -lt $Tail.Length -and ($Tail.Bytes[$begin] -band 0xC0) -eq 0x80) { $begin++ }
    try {
        $strict = New-Object Text.UTF8Encoding($false, $true)
        return $strict.GetString($Tail.Bytes, $begin, $Tail.Length - $begin).TrimStart([char]0xFEFF)
    } catch {
        return [Text.Encoding]::Default.GetString($Tail.Bytes, 0, $Tail.Length)
    }
}

try {
    if ([IO.Directory]::Exists($path)) { throw 'LaFile 0x80070010' }
    $tail = Read-LaTail $path
} catch {
    $trouble = $_.Exception
    if ($null -ne $trouble.InnerException) { $trouble = $trouble.InnerException }
    if ($trouble.Message -like 'LaFile *') { throw $trouble.Message }
    throw ('LaFile 0x{0:X8}' -f $trouble.HResult)
}
$lines = (Get-LaText $tail) -split "`r?`n"
if ($pattern -ne '') {
    try { $matching = New-Object Text.RegularExpressions.Regex($pattern) } catch { throw 'LaPattern' }
    $lines = @($lines | Where-Object { $matching.IsMatch($_) })
}
if ($last -ne '') {
    if ($lines.Count -gt 0 -and $lines[$lines.Count - 1] -eq '') { $lines = @($lines | Select-Object -First ($lines.Count - 1)) }
    $lines = @($lines | Select-Object -Last ([int]$last))
}
$text = $lines -join "`n"
if ($pattern -ne '' -or $last -ne '') { $text += "`n" }
$encoded = [Text.Encoding]::UTF8.GetBytes($text)
$wanted = [int]$most
if ($encoded.Length -gt $wanted) {
    # one byte more than was wanted says that there were more; the first line of these is not whole
    $kept = [Text.Encoding]::UTF8.GetString($encoded, $encoded.Length - $wanted, $wanted)
    $kept = $kept.Substring($kept.IndexOf("`n") + 1)
    $text = ('.' * ($wanted - [Text.Encoding]::UTF8.GetByteCount($kept))) + "`n" + $kept
}
$text
