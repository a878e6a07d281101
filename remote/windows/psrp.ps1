# Starts one process and is its console: what comes through the pipeline is its stdin, its stdout goes on through the pipeline
# line by line, its stderr as warnings; the number that comes last is its exit status. psrp_messages.py gives the arguments.
# An empty line comes first: whatever the endpoint may refuse after it, the process had begun.
param([string]$LaFile, [string]$LaArguments, [string]$LaName, [string]$LaValue)
begin {
    $LaStart = New-Object Diagnostics.ProcessStartInfo
    $LaStart.FileName = $LaFile
    $LaStart.Arguments = $LaArguments
    $LaStart.UseShellExecute = $false
    $LaStart.CreateNoWindow = $true
    $LaStart.RedirectStandardInput = $true
    $LaStart.RedirectStandardOutput = $true
    $LaStart.RedirectStandardError = $true
    if ($LaName) { $LaStart.EnvironmentVariables[$LaName] = $LaValue }
    $LaProcess = [Diagnostics.Process]::Start($LaStart)
    $LaWrong = $LaProcess.StandardError.ReadToEndAsync()
    "`n"
}
process {
    try { $LaProcess.StandardInput.Write([string]$_) } catch [IO.IOException] { $null = $_ }
}
end {
    try {
        try { $LaProcess.StandardInput.Close() } catch [IO.IOException] { $null = $_ }
        while ($true) {
            $LaReading = $LaProcess.StandardOutput.ReadLineAsync()
            while (-not $LaReading.Wait(250)) { $null = $LaReading }
            if ($null -eq $LaReading.Result) { break }
            $LaReading.Result + "`n"
        }
        $LaProcess.WaitForExit()
        if ($LaWrong.Result) { Write-Warning $LaWrong.Result }
        [int]$LaProcess.ExitCode
    } finally {
        if (-not $LaProcess.HasExited) {
            $null = & "$env:SystemRoot\System32\taskkill.exe" /T /F /PID $LaProcess.Id 2>&1
        }
    }
}
