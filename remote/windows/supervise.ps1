# The supervisor of one detached command: keeps what it says, its deadline, and how it ended, in the folder that start.ps1 made.
# Given by who starts it: $LaFolder; $LaPipe, where to fetch what the command is given behind its script. bundle.py writes $LaId,
# $LaDeadline, $LaGrace (seconds that it has to begin), $LaMost and $LaTail (bytes of stdout: in all, and of these the last ones),
# $LaMostErr and $LaTailErr (of stderr), $LaChild (the command's own script, packed, in lines) and $LaArguments (of the powershell.exe
# that reads it) before it.
# Processes: supervisor > the command's, a powershell.exe of its own, which makes `begun` itself before it begins (command.ps1).
function Open-LaFile([string]$Path, [string]$Mode, [string]$Share) {
    return New-Object IO.FileStream($Path, [IO.FileMode]$Mode, [IO.FileAccess]::ReadWrite, [IO.FileShare]$Share)
}

# Returns the file by which others see that we live. Who just looks has it open for a moment.
function Open-LaLive {
    foreach ($try in 1..50) {
        try { return Open-LaFile "$LaFolder\live" 'OpenOrCreate' 'None' } catch { Start-Sleep -Milliseconds 100 }
    }
    exit 1
}

# Returns what the command is given behind its script, whole; it is in no file.
function Read-LaBehind {
    if (-not $LaPipe) { return '' }
    $pipe = New-Object IO.Pipes.NamedPipeClientStream('.', $LaPipe, [IO.Pipes.PipeDirection]::In)
    try {
        $pipe.Connect(20000)
        return (New-Object IO.StreamReader($pipe, [Text.Encoding]::ASCII)).ReadToEnd()
    } finally {
        $pipe.Dispose()
    }
}

function Start-LaChild {
    $start = New-Object Diagnostics.ProcessStartInfo
    $start.FileName = "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe"
    $start.Arguments = $LaArguments
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.EnvironmentVariables['LA_FOLDER'] = $LaFolder
    return [Diagnostics.Process]::Start($start)
}

function New-LaStream([string]$Name, $From, [long]$Most, [int]$Tail) {
    $stream = @{ Name = $Name; From = $From; Most = $Most; Tail = $Tail; Said = [long]0; Kept = [long]0; Cut = [long]0; Full = $false; Ended = $false }
    $stream.Buffer = New-Object byte[] 65536
    $stream.Last = New-Object 'Collections.Generic.Queue[byte[]]'
    $stream.LastSize = [long]0
    $stream.File = Open-LaFile "$LaFolder\$Name" 'CreateNew' 'Read, Delete'
    $stream.Reading = $From.ReadAsync($stream.Buffer, 0, $stream.Buffer.Length)
    return $stream
}

# Takes what has come of a stream: the head as it comes, and always the last of it. The command is not stopped by what cannot be kept.
function Read-LaStream($Stream) {
    try { $got = $Stream.Reading.Result } catch { $got = 0 }
    if ($got -le 0) {
        $Stream.Ended = $true
        return
    }
    $piece = New-Object byte[] $got
    [Array]::Copy($Stream.Buffer, $piece, $got)
    $Stream.Said += $got
    $room = [int][Math]::Min($got, [Math]::Max(0, $Stream.Most - $Stream.Kept))
    if ($room -gt 0 -and -not $Stream.Full) {
        try {
            $Stream.File.Write($piece, 0, $room)
            $Stream.File.Flush()
            $Stream.Kept += $room
        } catch {
            $Stream.Full = $true
        }
    }
    $Stream.Last.Enqueue($piece)
    $Stream.LastSize += $got
    while ($Stream.Last.Count -and $Stream.LastSize - $Stream.Last.Peek().Length -ge $Stream.Tail) { $Stream.LastSize -= $Stream.Last.Dequeue().Length }
    $Stream.Reading = $Stream.From.ReadAsync($Stream.Buffer, 0, $Stream.Buffer.Length)
}

# Puts the last bytes of a stream that was too much apart, and notes how much was dropped (-1: nobody knows).
function Close-LaStream($Stream) {
    try { $Stream.File.Close() } catch { $Stream.Full = $true }
    $Stream.Cut = [Math]::Max(0, $Stream.Said - $Stream.Most)
    if ($Stream.Full) {
        $Stream.Cut = -1
    } elseif ($Stream.Cut -gt 0) {
        $last = New-Object IO.MemoryStream
        foreach ($piece in $Stream.Last) { $last.Write($piece, 0, $piece.Length) }
        $bytes = $last.ToArray()
        try {
            $file = Open-LaFile "$LaFolder\$($Stream.Name).tail" 'CreateNew' 'Read, Delete'
            try { $file.Write($bytes, $bytes.Length - $Stream.Tail, $Stream.Tail) } finally { $file.Close() }
        } catch {
            try { [IO.File]::Delete("$LaFolder\$($Stream.Name).tail") } catch { $null = $_ }
            $Stream.Cut = -1
        }
    }
}

# Ends a process with all that it has started, as far as Windows still knows whose they are.
function Stop-LaTree([int]$Process) {
    $ErrorActionPreference = 'Continue'
    $null = & "$env:SystemRoot\System32\taskkill.exe" /T /F /PID $Process 2>&1
}

# Writes how it ended into the room that was kept for it, on disk before it has its name. Who just looks, as virus scanners do, has it
# open for a moment.
function Write-LaEnd([string]$How, [string]$Status, [long]$Ms, $Out, $Err, [string]$Pids) {
    $text = "$How $Status $Ms $($Out.Cut) $($Err.Cut) $Pids."
    $bytes = [Text.Encoding]::ASCII.GetBytes($text.PadRight(511) + "`n")
    foreach ($try in 1..50) {
        try {
            $file = Open-LaFile "$LaFolder\rc.new" 'Open' 'Read, Delete'
            try {
                $file.Write($bytes, 0, $bytes.Length)
                $file.Flush($true)
            } finally {
                $file.Close()
            }
            [IO.File]::Move("$LaFolder\rc.new", "$LaFolder\rc")
            return
        } catch {
            if ($try -eq 50) { throw }
            Start-Sleep -Milliseconds 100
        }
    }
}

# Lets the command run, gives it what it reads (it may never read it, and has its deadline all the same), and keeps what it says until
# it has ended. What it leaves behind may hold its streams, as services do: then we do not wait for their ends.
function Watch-LaChild($Child, [string]$Behind) {
    $out = New-LaStream 'out' $Child.StandardOutput.BaseStream $LaMost $LaTail
    $err = New-LaStream 'err' $Child.StandardError.BaseStream $LaMostErr $LaTailErr
    $bytes = [Text.Encoding]::ASCII.GetBytes($LaChild + $Behind)
    $giving = $Child.StandardInput.BaseStream.WriteAsync($bytes, 0, $bytes.Length)
    $clock = [Diagnostics.Stopwatch]::StartNew()
    $begun = $false
    $late = 0
    $over = [long]-1
    while ($true) {
        $open = @(@($out, $err) | Where-Object { -not $_.Ended })
        $tasks = @($open | ForEach-Object { $_.Reading }) + @(if ($giving) { $giving })
        if ($tasks.Count) {
            $null = [Threading.Tasks.Task]::WaitAny([Threading.Tasks.Task[]]$tasks, 100)
        } else {
            $null = $Child.WaitForExit(100)
        }
        if ($giving -and $giving.IsCompleted) {
            # whole, or it reads no more
            $giving = $null
            try { $Child.StandardInput.Close() } catch [IO.IOException] { $null = $_ }
        }
        foreach ($stream in $open) { if ($stream.Reading.IsCompleted) { Read-LaStream $stream } }
        if (-not $begun -and [IO.File]::Exists("$LaFolder\begun")) {
            $begun = $true
            $clock.Restart()
        }
        if ($over -lt 0 -and $Child.HasExited) { $over = $clock.ElapsedMilliseconds }
        if ($over -ge 0 -and ($open.Count -eq 0 -or $clock.ElapsedMilliseconds - $over -gt 2000)) { break }
        if ($over -lt 0 -and $clock.Elapsed.TotalSeconds -gt $late + $(if ($begun) { $LaDeadline } else { $LaGrace })) {
            if ($late -gt 2) { break }
            Stop-LaTree $Child.Id
            $late++
        }
    }
    Close-LaStream $out
    Close-LaStream $err
    if ($late -eq 0) {
        $how = 'done'
        $status = [string]$Child.ExitCode
    } else {
        $how = 'late'
        $status = '-'
    }
    $left = if ($over -lt 0) { "$($Child.Id) " } else { '' }
    if ([IO.File]::Exists("$LaFolder\begun")) { Write-LaEnd $how $status $clock.ElapsedMilliseconds $out $err $left }
}

$LaLive = Open-LaLive
[IO.File]::Delete("$LaFolder\job")
if ([IO.File]::Exists("$LaFolder\task")) {
    try {
        $LaScheduler = New-Object -ComObject Schedule.Service
        $null = $LaScheduler.Connect()
        $null = $LaScheduler.GetFolder('\').DeleteTask("longarm-$LaId", 0)
        [IO.File]::Delete("$LaFolder\task")
    } catch { $null = $_ }
}
try { [Console]::InputEncoding = New-Object Text.UTF8Encoding $false } catch { $null = $_ }
$LaBehind = Read-LaBehind
Watch-LaChild (Start-LaChild) $LaBehind
$LaLive.Close()
exit 0
