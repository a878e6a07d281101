# Runs one command in this process; bundle.py writes $LaScript, $LaDeadline and $LaNeedsAdmin before it.
# What it says leaves line by line; the last line tells that it ended, also where the script itself calls exit.
function Write-LaPart([string]$Stream, [string]$Text) {
    Write-LaLine "$Stream $([Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($Text + "`n")))"
    Send-LaLines
}

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
Write-LaLine 'begin'
Send-LaLines
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
    Write-LaLine "ended $LaEnd"
    Send-LaLines
}
exit ([int]$LaEnd)
