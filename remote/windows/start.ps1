# Starts a command detached, unless its id is known, its token is an old one, or another runs; waits for its end as long as it is
# let, and tells how it stands. bundle.py writes $LaId, $LaToken, $LaJob (the text of its supervisor: supervise.ps1), $LaGives (how
# many secrets and inputs come behind this script), $LaOptions (of powershell.exe), $LaMost and $LaTail (bytes of stdout that are
# kept, and how many of these are the last ones), $LaForget (ids), $LaWait, $LaGrace (seconds that it has to begin) and what told.ps1
# needs before it. Behind lines.ps1, places.ps1 and told.ps1.

# Returns the lines behind this script as they came: what they hold passes through, and is nothing here.
function Read-LaBehind {
    $lines = New-Object Text.StringBuilder
    $left = $LaGives
    while ($left -gt 0) {
        $line = [Console]::In.ReadLine()
        if ($null -eq $line) { [Environment]::Exit(1) }
        $null = $lines.Append($line).Append("`n")
        if ($line -eq '.') { $left-- }
    }
    return $lines.ToString()
}

# Returns the id of a command that runs; nothing where none does. Who has not begun by now and should have never will.
function Get-LaBusy {
    foreach ($place in $LaPlaces) {
        if ((Get-LaPlace $place) -ne 'ours') { continue }
        foreach ($folder in [IO.Directory]::GetDirectories($place, 'c-*')) {
            $id = [IO.Path]::GetFileName($folder).Substring(2)
            if ((Test-LaOver $id) -or [IO.File]::Exists("$folder\rc")) { continue }
            if ((Get-LaSettled $place $id).State -eq 'running') { return $id }
        }
    }
}

# Closes what nobody has asked for in a week, and removes what is left of folders that were being removed.
function Close-LaOld {
    foreach ($place in $LaPlaces) {
        if ((Get-LaPlace $place) -ne 'ours') { continue }
        foreach ($folder in [IO.Directory]::GetDirectories($place, 'c-*')) {
            $id = [IO.Path]::GetFileName($folder).Substring(2)
            if ([IO.Directory]::GetLastWriteTimeUtc($folder) -gt [DateTime]::UtcNow.AddDays(-7)) { continue }
            if (@($LaKnown.Gone | Where-Object { $_.Id -eq $id }).Count -eq 0) { Close-LaCommand $id }
        }
        foreach ($folder in [IO.Directory]::GetDirectories($place, 'x-*')) {
            try { [IO.Directory]::Delete($folder, $true) } catch { $null = $_ }
        }
    }
}

# Makes the record of the command, and the fence before it is told: then it is claimed.
function New-LaClaim([string]$Place) {
    $folder = "$Place\c-$LaId"
    try {
        $null = [IO.Directory]::CreateDirectory($folder)
        Write-LaFile "$folder\claim" 'CreateNew' "$LaToken $LaBoot $LaMost $LaTail`n"
        Write-LaFile "$folder\rc.new" 'CreateNew' ((' ' * 511) + "`n")
        Write-LaFile "$folder\job" 'CreateNew' $LaJob
        Save-LaFence $Place
    } catch {
        $trouble = $_
        try { [IO.Directory]::Delete($folder, $true) } catch { $null = $_ }
        throw $trouble
    }
}

# Returns how far it came, under the lock: a word, and what belongs to it.
function Get-LaAdmitted {
    if (-not (Read-LaFences)) { return 'no_place', $LaKnown.Why }
    if ((Find-LaCommand $LaId) -or @(Get-LaNote $LaId).Count) { return 'known', '' }
    if ($LaToken -lt $LaKnown.Seen) { return 'fenced', [string]$LaKnown.Seen }
    $busy = Get-LaBusy
    if ($busy) { return 'busy', $busy }
    foreach ($id in @($LaForget -split ' ' | Where-Object { $_ })) { Close-LaCommand $id }
    Close-LaOld
    $LaKnown.Seen = [Math]::Max($LaKnown.Seen, [long]$LaToken)
    Add-LaNote $LaId "$LaToken $LaBoot claimed - -"
    $place = Invoke-LaSomewhere { param($Place) New-LaClaim $Place }
    if (-not $place) { return 'no_place', $LaKnown.Why }
    Remove-LaClosed
    return 'launched', $place
}

# Returns a pipe that only we, and SYSTEM, can read, and only one.
function New-LaPipe([string]$Name) {
    $security = New-Object IO.Pipes.PipeSecurity
    foreach ($sid in 'S-1-5-18', $LaSelf.Value) {
        $who = New-Object Security.Principal.SecurityIdentifier $sid
        $security.AddAccessRule((New-Object IO.Pipes.PipeAccessRule($who, 'Read, Synchronize', 'Allow')))
    }
    if ($PSVersionTable.PSVersion.Major -lt 6) {
        return New-Object IO.Pipes.NamedPipeServerStream($Name, 'Out', 1, 'Byte', 'Asynchronous', 0, 0, $security)
    }
    return [IO.Pipes.NamedPipeServerStreamAcl]::Create($Name, 'Out', 1, 'Byte', 'Asynchronous', 0, 0, $security)
}

# Gives the supervisor what came behind this script, if it comes to fetch it in time.
function Send-LaBehind($Pipe, $Waiting, [string]$Lines) {
    try {
        if (-not $Waiting.AsyncWaitHandle.WaitOne($LaGrace * 1000)) { return }
        $Pipe.EndWaitForConnection($Waiting)
        $bytes = [Text.Encoding]::ASCII.GetBytes($Lines)
        $Pipe.Write($bytes, 0, $bytes.Length)
        $Pipe.WaitForPipeDrain()
    } catch [IO.IOException] { $null = $_ }
}

# Returns the arguments that let powershell.exe run the supervisor in a folder, if it is what we wrote there.
function Get-LaArguments([string]$Folder, [string]$Pipe) {
    $hash = [Security.Cryptography.SHA256]::Create().ComputeHash([Text.Encoding]::UTF8.GetBytes($LaJob))
    $path = [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($Folder))
    $text = "`$LaFolder = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('$path')); `$LaPipe = '$Pipe'; " +
        '$LaBytes = [IO.File]::ReadAllBytes("$LaFolder\job"); ' +
        "if ([Convert]::ToBase64String([Security.Cryptography.SHA256]::Create().ComputeHash(`$LaBytes)) -cne '$([Convert]::ToBase64String($hash))') { exit 1 }; " +
        '. ([ScriptBlock]::Create([Text.Encoding]::UTF8.GetString($LaBytes)))'
    return $LaOptions + [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($text))
}

# Returns the number of an error as Windows writes it.
function Get-LaHex($Record) { return '0x{0:X8}' -f $Record.Exception.HResult }

# Starts the supervisor as a process of WMI, which is in the job of no shell and no login; tells whether it did.
function Start-LaByWmi([string]$Program, [string]$Arguments) {
    try {
        $asked = @{ CommandLine = "`"$Program`" $Arguments"; CurrentDirectory = "$env:SystemRoot\System32" }
        $made = Invoke-CimMethod -ClassName Win32_Process -MethodName Create -Arguments $asked -OperationTimeoutSec 30
        if ($made.ReturnValue -eq 0) { return $true }
        $LaKnown.Why = "Win32_Process.Create: $($made.ReturnValue)"
    } catch {
        $LaKnown.Why = "Win32_Process.Create: $(Get-LaHex $_)"
    }
    return $false
}

# Tells whether a task has come to run, or has run: without the right to log on as a batch job it ends before it begins.
function Test-LaTask($Task, [string]$Folder) {
    foreach ($try in 1..50) {
        if ($Task.State -eq 4 -or -not [IO.File]::Exists("$Folder\job")) { return $true }
        if ($try -gt 10 -and $Task.State -ne 2) { return $false }
        Start-Sleep -Milliseconds 100
    }
    return $true
}

# Starts it as a task of the same user, which goes on when the task is deleted; where an administrator may not log on so, of SYSTEM.
function Start-LaByTask([string]$Folder, [string]$Program, [string]$Arguments) {
    try {
        Write-LaFile "$Folder\task" 'Create' ''
        $scheduler = New-Object -ComObject Schedule.Service
        $null = $scheduler.Connect()
        $task = $scheduler.NewTask(0)
        $action = $task.Actions.Create(0)
        $action.Path = $Program
        $action.Arguments = $Arguments
        $task.Settings.ExecutionTimeLimit = 'PT0S'
        $task.Settings.DisallowStartIfOnBatteries = $false
        $task.Settings.StopIfGoingOnBatteries = $false
        $task.Settings.Priority = 5
        $task.Principal.RunLevel = if ($LaAdmin) { 1 } else { 0 }
        foreach ($sid in @($LaSelf.Value) + @(if ($LaNeedsAdmin) { 'S-1-5-18' })) {
            # 5: TASK_LOGON_SERVICE_ACCOUNT, 2: TASK_LOGON_S4U
            $type = if ($sid -eq 'S-1-5-18') { 5 } else { 2 }
            try {
                $task.Principal.UserId = $sid
                $task.Principal.LogonType = $type
                $made = $scheduler.GetFolder('\').RegisterTaskDefinition("longarm-$LaId", $task, 6, $null, $null, $type)
                $null = $made.RunEx($null, 2, 0, '')
                if (Test-LaTask $made $Folder) { return $true }
                $LaKnown.Why += ", task: 0x$('{0:X8}' -f $made.LastTaskResult)"
            } catch {
                $LaKnown.Why += ", task: $(Get-LaHex $_)"
            }
        }
    } catch {
        $LaKnown.Why += ", task: $(Get-LaHex $_)"
    }
    return $false
}

# Returns how it stands that nothing could start: it never will, unless it has begun after all.
function Get-LaRefused([string]$Place) {
    $why = $LaKnown.Why
    $LaGrace = 0
    return Invoke-LaHolding {
        $standing = Get-LaSettled $Place $LaId
        if ($standing.Reason -ne 'not_begun' -or -not (Read-LaFences)) { return $standing }
        Add-LaNote $LaId "$LaToken $LaBoot failed no_tool -"
        if (-not (Invoke-LaSomewhere { param($At) Save-LaFence $At })) { return $standing }
        $LaKnown.Gone = @(@{ Place = $Place; Id = $LaId })
        Remove-LaClosed
        return New-LaStanding 'failed' 'no_tool' $why
    }
}

# Launches the supervisor, and returns how the command stands, $LaWait seconds later at the latest.
function Get-LaLaunched([string]$Place, [string]$Lines) {
    $folder = "$Place\c-$LaId"
    $name = ''
    if ($Lines) {
        $name = 'longarm-' + [Guid]::NewGuid().ToString('N')
        $pipe = New-LaPipe $name
        $waiting = $pipe.BeginWaitForConnection($null, $null)
    }
    try {
        $program = "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe"
        $arguments = Get-LaArguments $folder $name
        if (-not ((Start-LaByWmi $program $arguments) -or (Start-LaByTask $folder $program $arguments))) { return Get-LaRefused $Place }
        if ($Lines) { Send-LaBehind $pipe $waiting $Lines }
    } finally {
        if ($Lines) { $pipe.Dispose() }
    }
    $standing = Wait-LaCommand $Place $LaId $LaWait
    if ($standing.Reason -ne 'not_begun') { return $standing }
    return Invoke-LaHolding { Get-LaSettled $Place $LaId }
}

if ($LaNeedsAdmin -and -not $LaAdmin) {
    Write-LaLine 'denied'
    Send-LaLines
    exit 0
}
Invoke-LaTelling {
    $lines = Read-LaBehind
    $word, $rest = Invoke-LaHolding { Get-LaAdmitted }
    if ($word -eq 'known') {
        $place = Find-LaCommand $LaId
        $standing = if ($place -and -not (Test-LaOver $LaId)) { Get-LaSettled $place $LaId } else { Get-LaRemembered $LaId }
    } elseif ($word -eq 'launched') {
        Unlock-LaPlaces
        $bytes = [Text.Encoding]::ASCII.GetBytes("launched`n")
        Send-LaBytes 'out' $bytes $bytes.Length
        $standing = Get-LaLaunched $rest $lines
    } elseif ($word -eq 'fenced') {
        $standing = New-LaStanding 'fenced' '-' $rest
    } else {
        $standing = New-LaStanding 'failed' $word $rest
    }
    Unlock-LaPlaces
    Send-LaAnswer $standing
}
exit 0
