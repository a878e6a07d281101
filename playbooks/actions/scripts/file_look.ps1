# What is at $path: a line "kind -:-:-:bytes", a line on the content, the content in base64 where it is short.
$ErrorActionPreference = 'Stop'
$item = Get-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
if ($null -eq $item) {
    'absent -:-:-:0'
    ''
} elseif ($item.PSIsContainer) {
    'directory -:-:-:0'
    if (@(Get-ChildItem -LiteralPath $path -Force | Select-Object -First 1).Count -gt 0) { 'filled' } else { 'empty' }
} elseif ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) {
    'link -:-:-:0'
    'target'
    [string]$item.Target
} else {
    'file -:-:-:' + $item.Length
    if ($item.Length -le $limit) {
        'base64'
        [Convert]::ToBase64String([IO.File]::ReadAllBytes($item.FullName))
    } else {
        'digest ' + (Get-FileHash -LiteralPath $path -Algorithm SHA256).Hash.ToLowerInvariant()
    }
}
