# What is at $path: a line "kind -:-:-:bytes", a line on the content, the content in base64 where it is short.
# A link or junction to a folder is a folder for Windows, too. Other reparse points (OneDrive, deduplication) are no links, and a
# volume that is mounted in a folder is that folder.
$ErrorActionPreference = 'Stop'
$item = Get-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
if ($null -eq $item) {
    'absent -:-:-:0'
    ''
} elseif ($item.LinkType -in 'SymbolicLink', 'Junction' -and [string]$item.Target -notlike '*Volume{*') {
    'link -:-:-:0'
    if ($item.PSIsContainer) { 'folder' } else { 'target' }
    [string]$item.Target
} elseif ($item.PSIsContainer) {
    'directory -:-:-:0'
    if (@(Get-ChildItem -LiteralPath $path -Force | Select-Object -First 1).Count -gt 0) { 'filled' } else { 'empty' }
} else {
    'file -:-:-:' + $item.Length
    if ($item.Length -le $limit) {
        'base64'
        [Convert]::ToBase64String([IO.File]::ReadAllBytes($item.FullName))
    } else {
        'digest ' + (Get-FileHash -LiteralPath $path -Algorithm SHA256).Hash.ToLowerInvariant()
    }
}
