# What a command says leaves line by line (command_lines.py); the last line tells that it ended, also where the script itself calls
# exit. In front of command.ps1.
function Write-LaPart([string]$Stream, [string]$Text) {
    Write-LaLine "$Stream $([Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($Text + "`n")))"
    Send-LaLines
}

function Enter-LaCommand {
    Write-LaLine 'begin'
    Send-LaLines
}

function Exit-LaCommand([string]$Status) {
    Write-LaLine "ended $Status"
    Send-LaLines
}
