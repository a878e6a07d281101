# Where what a Windows host knows of detached commands is kept, who may touch it now, and the fence. Part of start.ps1, collect.ps1
# and drop.ps1, behind lines.ps1. Nobody else's words are ever run: what lies there is read, and compared.
#
# A place is a folder of ours alone: of the administrators where we are one, else of the user. It holds `fence` and, for each
# command that is not forgotten, a folder `c-ID` (`x-ID` while that is removed):
#   claim    TOKEN BOOT MOST TAIL, these two of stdout: bytes that are kept in all, and as its end where it was too much
#   job      the text of its supervisor, until that has read it
#   task     there where the supervisor was started as the scheduled task longarm-ID
#   live     open in its supervisor, and in nobody else, as long as that lives; `runs` in the process of the command
#   begun    empty: made by the command's process before it begins; `void`: by who found that it never would
#   out, err what it said, and *.tail the end of what was too much
#   rc       how it ended, whole or not there; rc.new keeps the room for it free
# fence: `longarm-fence/1 TOKEN`, the highest that was seen; the last commands: ID TOKEN BOOT STATE REASON STATUS; if it had to make
# room for these, `dropped UPTIME BOOT`: when it did so last; and `end`
$LaSids = [Security.Principal.SecurityIdentifier]
$LaSelf = $LaWho.Identity.User
$LaOurs = @('S-1-5-18', 'S-1-5-32-544') + @(if (-not $LaAdmin) { $LaSelf.Value })
$LaOwner = if ($LaAdmin) { New-Object Security.Principal.SecurityIdentifier 'S-1-5-32-544' } else { $LaSelf }
$LaPlaces = @()
foreach ($LaTop in $env:ProgramData, "$env:SystemRoot\Temp", [IO.Path]::GetTempPath()) {
    $LaPlace = $LaTop.TrimEnd('\') + $(if ($LaAdmin) { '\longarm' } else { "\longarm-$($LaSelf.Value)" })
    if ($LaPlaces -notcontains $LaPlace) { $LaPlaces += $LaPlace }
}
$LaBoot = '-'
$LaUp = 0
try {
    $LaSystem = Get-CimInstance -ClassName Win32_OperatingSystem -OperationTimeoutSec 10
    $LaBooted = $LaSystem.LastBootUpTime.ToUniversalTime()
    $LaBoot = $LaBooted.ToString('yyyyMMddHHmmss', [Globalization.CultureInfo]::InvariantCulture)
    $LaUp = [long]([DateTime]::UtcNow - $LaBooted).TotalSeconds
} catch { $null = $_ }
$LaHeld = @{}
$LaKnown = @{ Seen = [long]0; Dropped = [long]0; Notes = @{}; New = @(); Gone = @(); Made = @(); Again = $false; Why = '' }

# Returns the number of an error of Windows, whatever has wrapped it.
function Get-LaNumber($Record) {
    $trouble = $Record.Exception
    while ($null -ne $trouble.InnerException) { $trouble = $trouble.InnerException }
    return $trouble.HResult -band 0xFFFF
}

function Open-LaFile([string]$Path, [string]$Mode, [string]$Access, [string]$Share, [string]$Options = 'None') {
    return New-Object IO.FileStream($Path, [IO.FileMode]$Mode, [IO.FileAccess]$Access, [IO.FileShare]$Share, 4096, [IO.FileOptions]$Options)
}

# Writes a file, which is on disk when it returns.
function Write-LaFile([string]$Path, [string]$Mode, [string]$Text) {
    $bytes = [Text.Encoding]::UTF8.GetBytes($Text)
    $file = Open-LaFile $Path $Mode 'Write' 'Read'
    try {
        $file.Write($bytes, 0, $bytes.Length)
        $file.Flush($true)
    } finally {
        $file.Close()
    }
}

# Returns what is in a small file; empty where it is not there.
function Read-LaFile([string]$Path) {
    if (-not [IO.File]::Exists($Path)) { return '' }
    $file = Open-LaFile $Path 'Open' 'Read' 'ReadWrite, Delete'
    try {
        return (New-Object IO.StreamReader($file, [Text.Encoding]::UTF8)).ReadToEnd()
    } finally {
        $file.Close()
    }
}

# Tells whether somebody has a file open that nobody else may open: Windows closes it when that process ends, however it does.
function Test-LaHeld([string]$Path) {
    if (-not [IO.File]::Exists($Path)) { return $false }
    try {
        (Open-LaFile $Path 'Open' 'Read' 'ReadWrite, Delete').Close()
    } catch {
        return (Get-LaNumber $_) -eq 32
    }
    return $false
}

# Returns the rights of a folder; not by Get-Acl, whose module powershell.exe does not find under a PowerShell 7.
function Get-LaRights([string]$Folder) {
    if ($PSVersionTable.PSVersion.Major -lt 6) { return [IO.Directory]::GetAccessControl($Folder) }
    return [IO.FileSystemAclExtensions]::GetAccessControl((New-Object IO.DirectoryInfo $Folder))
}

# Returns what a place is: absent, ours, open (ours, but others may touch it) or theirs.
function Get-LaPlace([string]$Place) {
    if (-not ([IO.Directory]::Exists($Place) -or [IO.File]::Exists($Place))) { return 'absent' }
    try {
        $acl = Get-LaRights $Place
        if ($LaOurs -notcontains $acl.GetOwner($LaSids).Value) { return 'theirs' }
        $kind = [IO.File]::GetAttributes($Place)
        if (-not ($kind -band [IO.FileAttributes]::Directory) -or ($kind -band [IO.FileAttributes]::ReparsePoint)) { return 'open' }
        foreach ($rule in $acl.GetAccessRules($true, $true, $LaSids)) {
            if ($rule.AccessControlType -eq 'Allow' -and $LaOurs -notcontains $rule.IdentityReference.Value) { return 'open' }
        }
    } catch {
        return 'theirs'
    }
    return 'ours'
}

# Makes a place with its rights from the first moment on; where one is there already, nothing of it is changed.
function New-LaPlace([string]$Place) {
    $security = New-Object Security.AccessControl.DirectorySecurity
    $security.SetAccessRuleProtection($true, $false)
    $security.SetOwner($LaOwner)
    foreach ($sid in $LaOurs) {
        $who = New-Object Security.Principal.SecurityIdentifier $sid
        $security.AddAccessRule((New-Object Security.AccessControl.FileSystemAccessRule($who, 'FullControl', 'ContainerInherit, ObjectInherit', 'None', 'Allow')))
    }
    if ($PSVersionTable.PSVersion.Major -lt 6) {
        $null = [IO.Directory]::CreateDirectory($Place, $security)
    } else {
        $null = [IO.FileSystemAclExtensions]::CreateDirectory($security, $Place)
    }
}

# Holds a place by a file that only one can have open, and that goes with whoever has it; tells whether it could be made.
function Lock-LaPlace([string]$Place) {
    $clock = [Diagnostics.Stopwatch]::StartNew()
    while ($true) {
        try {
            $LaHeld[$Place] = Open-LaFile "$Place\lock" 'OpenOrCreate' 'ReadWrite' 'None' 'DeleteOnClose'
            return $true
        } catch {
            # 32: another has it; 5: it goes just now, or we may not
            $number = Get-LaNumber $_
            if ($number -ne 32 -and ($number -ne 5 -or $clock.ElapsedMilliseconds -gt 2000)) { return $false }
            if ($clock.ElapsedMilliseconds -gt 20000) { throw "$Place is held by another" }
        }
        Start-Sleep -Milliseconds 50
    }
}

function Unlock-LaPlaces {
    foreach ($lock in @($LaHeld.Values)) { $lock.Close() }
    $LaHeld.Clear()
}

# Holds every place that there is and that takes a file, in order; again where one has come meanwhile, since whoever made it may
# hold that one alone.
function Lock-LaPlaces {
    foreach ($round in 1..9) {
        $tried = @($LaPlaces | Where-Object { (Get-LaPlace $_) -eq 'ours' })
        foreach ($place in $tried) { $null = Lock-LaPlace $place }
        $now = @($LaPlaces | Where-Object { (Get-LaPlace $_) -eq 'ours' })
        if (@($now | Where-Object { $tried -notcontains $_ }).Count -eq 0) { return }
        Unlock-LaPlaces
    }
    throw 'places come and go'
}

# Returns what one fence says; nothing where it cannot be understood. One that was cut off while it took the place of another lies
# whole beside it.
function Read-LaFence([string]$Place) {
    foreach ($name in 'fence', 'fence.new') {
        $path = "$Place\$name"
        if ([IO.Directory]::Exists($path)) { return }
        if (-not [IO.File]::Exists($path)) { continue }
        if ((Read-LaFile $path) -cmatch '\Alongarm-fence/1 (\d{1,18})\n((?:[^\n]+\n)*)end\n\z') {
            return @{ Seen = [long]$Matches[1]; Notes = @($Matches[2] -split "`n" | Where-Object { $_ }) }
        }
        if ($name -eq 'fence') { return }
    }
    return @{ Seen = [long]0; Notes = @() }
}

# Reads all fences, each apart; tells whether all could be understood, and none could be another's by now (Why).
function Read-LaFences {
    $LaKnown.Seen = [long]0
    $LaKnown.Dropped = [long]0
    $LaKnown.Notes = @{}
    $LaKnown.New = @()
    foreach ($place in $LaPlaces) {
        $how = Get-LaPlace $place
        $LaKnown.Why = "${place}: open to others"
        if ($how -eq 'open') { return $false }
        if ($how -ne 'ours') { continue }
        $LaKnown.Why = "$place\fence: cannot be read"
        try { $said = Read-LaFence $place } catch { $said = $null }
        if ($null -eq $said) { return $false }
        $LaKnown.Seen = [Math]::Max($LaKnown.Seen, $said.Seen)
        $LaKnown.Notes[$place] = @($said.Notes | Where-Object { $_ -cnotlike 'dropped *' })
        foreach ($note in $said.Notes) {
            if ($note -cmatch '\Adropped (\d{1,18}) (\S+)\z' -and $Matches[2] -eq $LaBoot) {
                $LaKnown.Dropped = [Math]::Max($LaKnown.Dropped, [long]$Matches[1])
            }
        }
    }
    $LaKnown.Why = ''
    return $true
}

# Returns the words that the fences have on a command: how it ended, if one of them knows; nothing where none knows it.
function Get-LaNote([string]$Id) {
    $found = @(@($LaPlaces | ForEach-Object { $LaKnown.Notes[$_] }) + $LaKnown.New | Where-Object { $_ -clike "$Id *" })
    $ended = @($found | Where-Object { $_ -cnotlike '* claimed *' })
    if ($ended.Count) { return $ended[-1] -split ' ' }
    if ($found.Count) { return $found[-1] -split ' ' }
}

# Tells whether the fences know how a command ended: then what may still be there of its folder says nothing any more.
function Test-LaOver([string]$Id) {
    $words = @(Get-LaNote $Id)
    return $words.Count -gt 3 -and $words[3] -ne 'claimed'
}

# Puts down a new line for a command, kept by whichever place takes it.
function Add-LaNote([string]$Id, [string]$Rest) {
    $LaKnown.New += "$Id $Rest"
}

# Puts the fence into a place, on disk before anything that follows from it: its own lines, or those of another would drive them
# out, and the new ones. Only the last 24 are kept, and a fence is never longer than 4 KiB.
function Save-LaFence([string]$Place) {
    $new = @($LaKnown.New | ForEach-Object { ($_ -split ' ')[0] })
    $own = @($LaKnown.Notes[$Place] | Where-Object { $_ -and $new -cnotcontains ($_ -split ' ')[0] })
    if (@($own + $LaKnown.New).Count -gt 24) { $LaKnown.Dropped = $LaUp }
    $notes = @($own + $LaKnown.New | Select-Object -Last 24)
    if ($LaKnown.Dropped) { $notes += "dropped $($LaKnown.Dropped) $LaBoot" }
    $text = (@("longarm-fence/1 $($LaKnown.Seen)") + $notes + 'end' -join "`n") + "`n"
    Write-LaFile "$Place\fence.new" 'Create' $text
    if ([IO.File]::Exists("$Place\fence")) {
        [IO.File]::Replace("$Place\fence.new", "$Place\fence", [NullString]::Value)
    } else {
        [IO.File]::Move("$Place\fence.new", "$Place\fence")
    }
}

# Does something in the first place that lets it be done; returns that place, or nothing, and says why. A place that has to be made
# first is made, and then held first, as by all others (Again).
function Invoke-LaSomewhere([scriptblock]$Work) {
    $troubles = @()
    foreach ($place in $LaPlaces) {
        try {
            if ((Get-LaPlace $place) -eq 'absent') {
                New-LaPlace $place
                $LaKnown.Made += $place
                $LaKnown.Again = $true
                return
            }
            if ((Get-LaPlace $place) -ne 'ours') {
                $troubles += "${place}: not a folder of ours alone"
            } elseif (-not $LaHeld.ContainsKey($place)) {
                $troubles += "${place}: cannot be written to"
            } else {
                $null = & $Work $place
                return $place
            }
        } catch {
            $troubles += "${place}: $(Get-LaNumber $_)"
        }
    }
    $LaKnown.Why = $troubles -join ', '
}

# Returns what some work brings that is done with all places held, which they still are then.
function Invoke-LaHolding([scriptblock]$Work) {
    foreach ($round in 1..9) {
        Lock-LaPlaces
        $LaKnown.Again = $false
        $LaKnown.Gone = @()
        $brought = & $Work
        if (-not $LaKnown.Again) { return $brought }
        Unlock-LaPlaces
    }
    throw 'places come and go'
}

# Returns the place where the folder of a command is; nothing where it is nowhere.
function Find-LaCommand([string]$Id) {
    foreach ($place in $LaPlaces) {
        if ([IO.Directory]::Exists("$place\c-$Id") -and (Get-LaPlace $place) -eq 'ours') { return $place }
    }
}

function New-LaStanding([string]$State, [string]$Reason, [string]$Why) {
    return @{ State = $State; Reason = $Reason; Status = '-'; Ms = '0'; Cuts = '0 0'; Pids = ''; Why = $Why; Place = '-'; Folder = ''; Token = '0'; Boot = $LaBoot; Most = 0; Tail = 0 }
}

# Returns how the command stands that has a folder in a place. Nothing waits longer than $LaGrace seconds for it to begin.
function Get-LaStanding([string]$Place, [string]$Id, [switch]$Twice) {
    $folder = "$Place\c-$Id"
    $standing = New-LaStanding 'unknown' 'gone' ''
    $standing.Place = $Place
    $standing.Folder = $folder
    $claimed = $LaBoot
    if ((Read-LaFile "$folder\claim") -cmatch '\A(\d+) (\S+) (\d+) (\d+)\n\z') {
        $standing.Token = $Matches[1]
        $standing.Boot = $claimed = $Matches[2]
        $standing.Most = [long]$Matches[3]
        $standing.Tail = [long]$Matches[4]
    }
    # it may begin or end between our looking at one and the other: who runs is looked at first, and again where it has begun
    $runs = (Test-LaHeld "$folder\live") -or (Test-LaHeld "$folder\runs")
    $begun = [IO.File]::Exists("$folder\begun")
    if ((Read-LaFile "$folder\rc") -cmatch '\A(done|late) (-|-?\d{1,10}) (\d{1,15}) (-?\d{1,15} -?\d{1,15}) ([\d ]*)\. *\n\z') {
        $standing.Ms = $Matches[3]
        $standing.Cuts = $Matches[4]
        $standing.Pids = $Matches[5].Trim()
        if ($Matches[1] -eq 'done') {
            $standing.State = 'done'
            $standing.Reason = '-'
            $standing.Status = $Matches[2]
        } else {
            $standing.State = 'failed'
            $standing.Reason = 'late'
        }
    } elseif (-not [IO.Directory]::Exists($folder)) {
        return $standing
    } elseif ($begun -and (Read-LaFile "$folder\begun") -eq 'void') {
        $standing.State = 'failed'
        $standing.Reason = 'not_begun'
    } elseif ($runs) {
        $standing.State = 'running'
        $standing.Reason = '-'
    } elseif ($begun -and -not $Twice) {
        return Get-LaStanding $Place $Id -Twice
    } elseif ($begun) {
        $standing.State = 'interrupted'
        $standing.Reason = if ($claimed -eq $LaBoot) { 'killed' } else { 'rebooted' }
    } else {
        $age = ([DateTime]::UtcNow - [IO.Directory]::GetCreationTimeUtc($folder)).TotalSeconds
        $starts = $claimed -eq $LaBoot -and $age -ge 0 -and $age -lt $LaGrace
        $standing.State = if ($starts) { 'running' } else { 'failed' }
        $standing.Reason = if ($starts) { '-' } else { 'not_begun' }
    }
    return $standing
}

# Returns the same for good, under the lock: one that never began is kept from it.
function Get-LaSettled([string]$Place, [string]$Id) {
    $standing = Get-LaStanding $Place $Id
    if ($standing.Reason -ne 'not_begun') { return $standing }
    try {
        Write-LaFile "$($standing.Folder)\void" 'Create' 'void'
        [IO.File]::Move("$($standing.Folder)\void", "$($standing.Folder)\begun")
    } catch { $null = $_ }
    return Get-LaStanding $Place $Id
}

# Returns how a command stands, once it has ended or so many seconds have passed.
function Wait-LaCommand([string]$Place, [string]$Id, [int]$Seconds) {
    $clock = [Diagnostics.Stopwatch]::StartNew()
    while ($true) {
        $standing = Get-LaStanding $Place $Id
        if ($standing.State -ne 'running' -or $clock.Elapsed.TotalSeconds -ge $Seconds) { return $standing }
        Start-Sleep -Milliseconds 100
    }
}

# Returns how a command stands that only the fences know; nothing where they do not.
function Get-LaRemembered([string]$Id) {
    $words = @(Get-LaNote $Id)
    if ($words.Count -lt 6) { return }
    if ($words[3] -eq 'claimed') { return New-LaStanding 'unknown' 'gone' '' }
    $standing = New-LaStanding $words[3] $words[4] ''
    $standing.Status = $words[5]
    return $standing
}

# Notes how a command ended, and that its folder can go (Gone). Not of one that runs.
function Close-LaCommand([string]$Id) {
    $place = Find-LaCommand $Id
    if (-not $place) { return }
    if (-not (Test-LaOver $Id)) {
        $standing = Get-LaSettled $place $Id
        if ($standing.State -eq 'running') { return }
        Add-LaNote $Id "$($standing.Token) $($standing.Boot) $($standing.State) $($standing.Reason) $($standing.Status)"
    }
    $LaKnown.Gone += @{ Place = $place; Id = $Id }
}

# Removes the folders of commands whose ends are in the fence. One of which anything is open stays whole, as it cannot be moved: a
# supervisor that comes late must still find its void.
function Remove-LaClosed {
    foreach ($one in $LaKnown.Gone) {
        $folder = "$($one.Place)\c-$($one.Id)"
        if ([IO.File]::Exists("$folder\task")) { Remove-LaTask "longarm-$($one.Id)" }
        $moved = "$($one.Place)\x-$($one.Id)"
        try {
            [IO.Directory]::Move($folder, $moved)
            [IO.Directory]::Delete($moved, $true)
        } catch { $null = $_ }
    }
}

function Remove-LaTask([string]$Name) {
    try {
        $scheduler = New-Object -ComObject Schedule.Service
        $null = $scheduler.Connect()
        $null = $scheduler.GetFolder('\').DeleteTask($Name, 0)
    } catch { $null = $_ }
}
