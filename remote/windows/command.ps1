# Runs one command in this process; bundle.py writes $LaScript, $LaSecrets, $LaReads, $LaDeadline and $LaNeedsAdmin before it.
# Behind spoken.ps1 or kept.ps1, where what it says leaves, and its beginning and its end.

# Returns what an item of any stream is for us: errors and warnings leave at once, all else goes on to be formatted.
function Split-LaStream($Item) {
    if ($Item -is [Management.Automation.ErrorRecord]) {
        $native = $Item.FullyQualifiedErrorId -like 'NativeCommandError*'
        Write-LaPart 'err' $(if ($native) { [string]$Item.Exception.Message } else { Get-LaError $Item })
    } elseif ($Item -is [Management.Automation.WarningRecord]) {
        Write-LaPart 'err' ([string]$Item)
    } else {
        $Item
    }
}

if ($LaNeedsAdmin -and -not $LaAdmin) {
    Write-LaLine 'denied'
    Send-LaLines
    exit 0
}
# Returns bytes that stand in lines of base64 behind the script; without their end nothing is run.
function Read-LaGiven {
    $text = New-Object Text.StringBuilder
    while (($line = [Console]::In.ReadLine()) -ne '.') {
        if ($null -eq $line) { [Environment]::Exit(1) }
        $null = $text.Append($line)
    }
    return , [Convert]::FromBase64String($text.ToString())
}

# Secrets are given to no command, whose arguments Windows may write down too (event 4103).
foreach ($LaName in @($LaSecrets -split ' ' | Where-Object { $_ })) {
    $ExecutionContext.SessionState.PSVariable.Set($LaName, [Text.Encoding]::UTF8.GetString((Read-LaGiven)))
}
if ($LaReads) { $stdin = Read-LaGiven }
# Whoever asked ends it at its deadline; this is for when nobody can any more.
$LaWatch = [PowerShell]::Create()
$null = $LaWatch.AddScript({
    param($Seconds, $Process)
    Start-Sleep -Seconds $Seconds
    try { & "$env:SystemRoot\System32\taskkill.exe" /T /F /PID $Process } finally { [Diagnostics.Process]::GetCurrentProcess().Kill() }
}).AddArgument($LaDeadline + 5).AddArgument($PID)
$null = $LaWatch.BeginInvoke()
try { [Console]::OutputEncoding = New-Object Text.UTF8Encoding $false } catch { $null = $_ }
$LaEnd = '-'
Enter-LaCommand
try {
    $LaBlock = [ScriptBlock]::Create($LaScript)
    $ErrorActionPreference = 'Continue'
    $WarningPreference = 'Continue'
    $global:LASTEXITCODE = 0
    & $LaBlock *>&1 | ForEach-Object { Split-LaStream $_ } | Out-String -Stream -Width 4096 | ForEach-Object { Write-LaPart 'out' $_ }
    $LaEnd = [string][int]$global:LASTEXITCODE
} catch {
    Write-LaPart 'err' (Get-LaError $_)
    $LaEnd = '1'
} finally {
    Exit-LaCommand $LaEnd
}
exit ([int]$LaEnd)
