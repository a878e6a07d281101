# Does $does (words: enable disable start stop restart) to the service $name.
$ErrorActionPreference = 'Stop'
foreach ($one in $does -split ' ') {
    switch ($one) {
        'enable' { Set-Service -Name $name -StartupType Automatic }
        'disable' { Set-Service -Name $name -StartupType Disabled }
        'start' { Start-Service -Name $name }
        'stop' { Stop-Service -Name $name -Force }
        'restart' { Restart-Service -Name $name -Force }
        'reload' { throw 'a service of Windows is not reloaded: restart it' }
    }
}
