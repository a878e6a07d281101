# What a detached command says goes to its supervisor as it is (supervise.ps1), and is lost where that was killed: the command must
# not be stopped by it. In front of command.ps1. LA_FOLDER is the folder of its record.
$LaFolder = $env:LA_FOLDER
Remove-Item Env:LA_FOLDER
$LaStreams = @{ out = [Console]::OpenStandardOutput(); err = [Console]::OpenStandardError() }

function Write-LaPart([string]$Stream, [string]$Text) {
    $bytes = [Text.Encoding]::UTF8.GetBytes($Text + "`n")
    try {
        $LaStreams[$Stream].Write($bytes, 0, $bytes.Length)
        $LaStreams[$Stream].Flush()
    } catch { $null = $_ }
}

# Begins, unless somebody found that it never would: who comes first says whether it runs at all. `runs` is open as long as this
# process lives; who just looks has it open for a moment.
function Enter-LaCommand {
    foreach ($try in 1..50) {
        try {
            $LaState.Runs = [IO.File]::Open("$LaFolder\runs", 'OpenOrCreate', 'ReadWrite', 'None')
            break
        } catch { Start-Sleep -Milliseconds 100 }
    }
    if (-not $LaState.Runs) { [Environment]::Exit(1) }
    try {
        $begun = [IO.File]::Open("$LaFolder\begun", 'CreateNew', 'Write', 'Read')
        $begun.Flush($true)
        $begun.Close()
    } catch { [Environment]::Exit(1) }
}

function Exit-LaCommand([string]$Status) { $null = $Status }
