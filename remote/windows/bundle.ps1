# The fixed part of a bundle for Windows PowerShell 5.1 and PowerShell 7; bundle.py writes $LaNonce and $LaAsked before it.
# Each question runs in a runspace of its own, so that its deadline holds: what hangs, a call to CIM too, is left behind,
# and the process ends under it. Each answer leaves as one line of ASCII that proves its own completeness (lines.py).
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'

$LaSaid = [Console]::OpenStandardOutput()
$LaLines = 0

function Write-LaLine([string]$Text) {
    $script:LaLines++
    $line = [Text.Encoding]::ASCII.GetBytes("`nLA1 $LaNonce $($script:LaLines) $Text`n")
    $LaSaid.Write($line, 0, $line.Length)
    $LaSaid.Flush()
}

# Returns the first bytes of a text as UTF-8, and how many were left out.
function Get-LaHead([string]$Text, [int]$Most) {
    $bytes = [Text.Encoding]::UTF8.GetBytes($Text)
    $kept = [Math]::Min($bytes.Length, $Most)
    $head = New-Object byte[] $kept
    [Array]::Copy($bytes, $head, $kept)
    return @{ Bytes = $head; Cut = $bytes.Length - $kept }
}

# Returns both streams behind each other, each with its length before it, compressed, with a digest of what is sent.
function Get-LaPacked([byte[]]$Said, [byte[]]$Wrong) {
    $memory = New-Object IO.MemoryStream
    $packing = New-Object IO.Compression.GZipStream($memory, [IO.Compression.CompressionMode]::Compress)
    $packing.Write($Said, 0, $Said.Length)
    $packing.Write($Wrong, 0, $Wrong.Length)
    $packing.Close()
    $packed = $memory.ToArray()
    $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($packed)
    $digest = [BitConverter]::ToString($hash).Replace('-', '').ToLowerInvariant()
    return "$($Said.Length) $($Wrong.Length) $($packed.Length) $digest $([Convert]::ToBase64String($packed))"
}

# Returns what one question wrote to its error stream: identifiers first, since the words are in the machine's language.
function Get-LaErrors($Records) {
    $rows = foreach ($record in $Records) {
        $number = '0x{0:X8}' -f $record.Exception.HResult
        "$($record.FullyQualifiedErrorId) $number $($record.CategoryInfo.Category): $($record.Exception.Message)"
    }
    return [string]($rows -join "`n")
}

$LaPrologue = @'
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
[Threading.Thread]::CurrentThread.CurrentCulture = [Globalization.CultureInfo]::InvariantCulture
try { Remove-TypeData System.Array } catch { $null = $_ }
function ConvertTo-Utc($Moment) { if ($Moment) { ([DateTime]$Moment).ToUniversalTime().ToString('o') } }
function Write-Json($Value) { ConvertTo-Json -InputObject $Value -Depth 8 -Compress }
'@

function Invoke-LaQuestion($Question) {
    $clock = [Diagnostics.Stopwatch]::StartNew()
    $running = [PowerShell]::Create()
    $null = $running.AddScript($LaPrologue).AddStatement().AddScript($Question.Text)
    $ended = 'exited'
    $status = 0
    $said = ''
    $wrong = ''
    $async = $running.BeginInvoke()
    if ($async.AsyncWaitHandle.WaitOne([int]$Question.Deadline * 1000)) {
        try {
            $said = [string](@($running.EndInvoke($async) | ForEach-Object { [string]$_ }) -join "`n")
            $wrong = Get-LaErrors $running.Streams.Error
        } catch {
            $status = 1
            $wrong = Get-LaErrors @($_.Exception.InnerException.ErrorRecord, $_ | Where-Object { $_ } | Select-Object -First 1)
        }
    } else {
        $ended = 'timed_out'
        $status = '-'
        $null = $running.BeginStop($null, $null)
    }
    $head = Get-LaHead $said $Question.Most
    $errors = Get-LaHead $wrong $Question.Most
    if ($head.Cut -or $errors.Cut) { $ended = 'capped' }
    $packed = Get-LaPacked $head.Bytes $errors.Bytes
    Write-LaLine "answer $($Question.Index) $ended $status $($clock.ElapsedMilliseconds) $($head.Cut) $($errors.Cut) $packed"
}

$LaWho = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
$LaAdmin = $LaWho.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
Write-LaLine "open longarm-windows/1 $($PSVersionTable.PSVersion) $(if ($LaAdmin) { 'admin' } else { 'user' })"
foreach ($LaQuestion in $LaAsked) {
    try { Invoke-LaQuestion $LaQuestion } catch { Write-LaLine "broken $($LaQuestion.Index) $($_.FullyQualifiedErrorId -replace '[^!-~]', '_')" }
}
Write-LaLine "done $($script:LaLines + 1)"
[Environment]::Exit(0)
