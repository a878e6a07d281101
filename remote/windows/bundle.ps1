# The fixed part of a bundle for Windows PowerShell 5.1 and PowerShell 7; bundle.py writes $LaAsked and $LaDeadline before it.
# Each question runs in a runspace of its own, so that its deadline holds: what hangs, a call to CIM too, is left behind,
# and the process ends under it. What it says is taken while it runs, so that a flood never fills the memory of the host.
$LaClock = [Diagnostics.Stopwatch]::StartNew()

# Adds a line to what is kept of a stream, and counts what is left out.
function Add-LaText($Kept, [string]$Text) {
    if ($Kept.Some) { $Text = "`n" + $Text }
    $Kept.Some = $true
    $bytes = [Text.Encoding]::UTF8.GetBytes($Text)
    $room = [int][Math]::Max(0, [Math]::Min($bytes.Length, $Kept.Most - $Kept.Bytes.Length))
    $Kept.Bytes.Write($bytes, 0, $room)
    $Kept.Cut += $bytes.Length - $room
}

# Returns an answer: how it ended, then both streams behind each other, compressed, with a digest of all of this.
function Get-LaAnswer([string]$Head, $Said, $Wrong) {
    $memory = New-Object IO.MemoryStream
    $packing = New-Object IO.Compression.GZipStream($memory, [IO.Compression.CompressionMode]::Compress)
    $Said.Bytes.WriteTo($packing)
    $Wrong.Bytes.WriteTo($packing)
    $packing.Close()
    $packed = $memory.ToArray()
    $head = "$Head $($Said.Bytes.Length) $($Wrong.Bytes.Length) $($packed.Length)"
    $first = [Text.Encoding]::ASCII.GetBytes($head)
    $hash = [Security.Cryptography.SHA256]::Create()
    $null = $hash.TransformBlock($first, 0, $first.Length, $null, 0)
    $null = $hash.TransformFinalBlock($packed, 0, $packed.Length)
    $digest = [BitConverter]::ToString($hash.Hash).Replace('-', '').ToLowerInvariant()
    return "$head $digest $([Convert]::ToBase64String($packed))"
}

# In front of each question, in the same script: another one would run in another thread, with the culture of the machine.
$LaPrologue = @'
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
[Threading.Thread]::CurrentThread.CurrentCulture = [Globalization.CultureInfo]::InvariantCulture
try { Remove-TypeData System.Array } catch { $null = $_ }
function ConvertTo-Utc($Moment) { if ($Moment) { ([DateTime]$Moment).ToUniversalTime().ToString('o') } }
function Write-Json($Value) { ConvertTo-Json -InputObject $Value -Depth 8 -Compress }
'@

# Takes what a question has said since we looked last.
function Read-LaQuestion($Running, $Output, $Said, $Wrong) {
    foreach ($one in $Output.ReadAll()) { Add-LaText $Said ([string]$one) }
    foreach ($record in $Running.Streams.Error.ReadAll()) { Add-LaText $Wrong (Get-LaError $record) }
    if ($null -ne $Running.Streams.Information) { $Running.Streams.Information.Clear() }
}

function Invoke-LaQuestion($Question) {
    $clock = [Diagnostics.Stopwatch]::StartNew()
    $deadline = [Math]::Min([long]$Question.Deadline * 1000, $LaDeadline * 1000 - $LaClock.ElapsedMilliseconds)
    if ($deadline -lt 1) { return Write-LaLine "skipped $($Question.Index)" }
    if ($Question.Admin -and -not $LaAdmin) { return Write-LaLine "denied $($Question.Index)" }
    $said = @{ Bytes = (New-Object IO.MemoryStream); Most = $Question.Most; Cut = 0; Some = $false }
    $wrong = @{ Bytes = (New-Object IO.MemoryStream); Most = $Question.Most; Cut = 0; Some = $false }
    $output = New-Object 'Management.Automation.PSDataCollection[psobject]'
    $nothing = New-Object 'Management.Automation.PSDataCollection[psobject]'
    $nothing.Complete()
    $running = [PowerShell]::Create()
    $null = $running.AddScript($LaPrologue + "`n" + $Question.Text)
    if ($Question.Text -match '\bexit\b') {
        # else it would end as one that does not call it, and nobody would learn its status
        $settings = New-Object Management.Automation.PSInvocationSettings
        $settings.ExposeFlowControlExceptions = $true
        $async = $running.BeginInvoke($nothing, $output, $settings, $null, $null)
    } else {
        $async = $running.BeginInvoke($nothing, $output)
    }
    $ended = ''
    while ($ended -eq '') {
        $left = $deadline - $clock.ElapsedMilliseconds
        if ($left -le 0) {
            $ended = 'timed_out'
        } elseif ($async.AsyncWaitHandle.WaitOne([int][Math]::Min($left, 250))) {
            $ended = 'exited'
        } elseif ($clock.ElapsedMilliseconds -gt 1000) {
            Send-LaLines
        }
        Read-LaQuestion $running $output $said $wrong
        if ($ended -eq '' -and $said.Cut + $wrong.Cut -gt 0) { $ended = 'capped' }
    }
    $status = '-'
    if ($ended -eq 'exited') {
        $status = '0'
        $left = $running.InvocationStateInfo.Reason
        try {
            # EndInvoke would let what left the question leave this script too
            if ($left -is [Management.Automation.ExitException]) {
                $status = [string][int]$left.Argument
            } elseif ($left -isnot [Management.Automation.FlowControlException]) {
                $null = $running.EndInvoke($async)
            }
        } catch {
            $status = '1'
            $record = $_.Exception.InnerException.ErrorRecord
            if ($null -eq $record) { $record = $_ }
            Add-LaText $wrong (Get-LaError $record)
        }
        Read-LaQuestion $running $output $said $wrong
        if ($said.Cut + $wrong.Cut -gt 0) { $ended = 'capped'; $status = '-' }
    } else {
        $LaState.Hung = $true
        $null = $running.BeginStop($null, $null)
    }
    $ms = [Math]::Min($clock.ElapsedMilliseconds, 999999999)
    $head = "answer $($Question.Index) $ended $status $ms $($said.Cut) $($wrong.Cut)"
    Write-LaLine (Get-LaAnswer $head $said $wrong)
}

foreach ($LaQuestion in $LaAsked) {
    try {
        Invoke-LaQuestion $LaQuestion
    } catch {
        Write-LaLine "broken $($LaQuestion.Index) $(Get-LaWord $_.FullyQualifiedErrorId)"
    }
}
Write-LaLine "done $($LaState.Lines + 1)"
Send-LaLines
if (-not $LaPiped) {
    if ($LaState.Hung) { [Diagnostics.Process]::GetCurrentProcess().Kill() }
    [Environment]::Exit(0)
}
