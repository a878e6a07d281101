# Sees to a folder, a link or absence. $what: directory, link, absent, absent_all.
$ErrorActionPreference = 'Stop'
# A link goes by itself: Remove-Item may ask about, or take, what is in the folder that it leads to.
function Remove-Here {
    $item = Get-Item -LiteralPath $path -Force
    if ($item.LinkType -notin 'SymbolicLink', 'Junction') {
        Remove-Item -LiteralPath $path -Force -Recurse:($what -eq 'absent_all')
    } elseif ([string]$item.Target -like '*Volume{*') {
        throw 'a volume is mounted there: it is not removed'
    } elseif ($item.PSIsContainer) {
        [IO.Directory]::Delete($path)
    } else {
        [IO.File]::Delete($path)
    }
}
switch ($what) {
    'directory' { $null = New-Item -ItemType Directory -Path $path -Force }
    'link' {
        if ($null -ne (Get-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue)) { Remove-Here }
        $null = New-Item -ItemType SymbolicLink -Path $path -Target $target
    }
    { $_ -in 'absent', 'absent_all' } { Remove-Here }
}
