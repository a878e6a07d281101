# What every script of ours on Windows begins with: lines of ASCII that prove their own completeness (lines.py).
# The head that is written before it sets $LaNonce, and $LaPiped where there is no console to write to.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'

$LaState = @{ Lines = 0; Hung = $false; Out = $null; Waiting = (New-Object IO.MemoryStream) }
if (-not $LaPiped) { $LaState.Out = [Console]::OpenStandardOutput() }

# Writes a line; it leaves with the next Send-LaLines, so that many quick answers are one piece for whoever receives them.
function Write-LaLine([string]$Text) {
    $LaState.Lines++
    $bytes = [Text.Encoding]::ASCII.GetBytes("`nLA1 $LaNonce $($LaState.Lines) $($Text.Length) $Text`n")
    $LaState.Waiting.Write($bytes, 0, $bytes.Length)
    if ($LaState.Waiting.Length -gt 65536) { Send-LaLines }
}

# Sends the lines that wait: to the console, or as one string of the pipeline where there is none.
function Send-LaLines {
    if ($LaState.Waiting.Length -eq 0) { return }
    $bytes = $LaState.Waiting.ToArray()
    $LaState.Waiting.SetLength(0)
    if ($LaPiped) { return [Text.Encoding]::ASCII.GetString($bytes) }
    $LaState.Out.Write($bytes, 0, $bytes.Length)
    $LaState.Out.Flush()
}

# Returns an error: identifiers first, since the words are in the machine's language.
function Get-LaError($Record) {
    $number = '0x{0:X8}' -f $Record.Exception.HResult
    return "$($Record.FullyQualifiedErrorId) $number $($Record.CategoryInfo.Category): $($Record.Exception.Message)"
}

# Returns text as one word of printable ASCII.
function Get-LaWord([string]$Text) {
    $word = $Text -replace '[^!-~]', '_'
    if ($word.Length -gt 200) { $word = $word.Substring(0, 200) }
    if ($word.Length -eq 0) { $word = '_' }
    return $word
}

$LaWho = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
$LaAdmin = $LaWho.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
Write-LaLine "open longarm-windows/1 $($PSVersionTable.PSVersion) $(if ($LaAdmin) { 'admin' } else { 'user' })"
