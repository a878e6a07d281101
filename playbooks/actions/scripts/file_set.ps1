# Sees to a folder, a link or absence. $what: directory, link, absent, absent_all.
$ErrorActionPreference = 'Stop'
switch ($what) {
    'directory' { $null = New-Item -ItemType Directory -Path $path -Force }
    'link' {
        if (Test-Path -LiteralPath $path) { Remove-Item -LiteralPath $path -Force }
        $null = New-Item -ItemType SymbolicLink -Path $path -Target $target
    }
    'absent' { Remove-Item -LiteralPath $path -Force }
    'absent_all' { Remove-Item -LiteralPath $path -Force -Recurse }
}
