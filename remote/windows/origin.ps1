# Tells of a file where it is, how large, how old and whose. Given: path.
if (-not [IO.File]::Exists($path)) { return }
$file = New-Object IO.FileInfo($path)
$times = $file.LastWriteTimeUtc - (New-Object DateTime(1970, 1, 1))
"path=$($file.FullName)"
"size=$($file.Length)"
"modified=$([long][Math]::Floor($times.TotalSeconds))"
try { "owner=$($file.GetAccessControl().GetOwner([Security.Principal.NTAccount]))" } catch { $null = $_ }
if ($file.Length -le 67108864) {
    $share = [IO.FileShare]::ReadWrite -bor [IO.FileShare]::Delete
    $stream = New-Object IO.FileStream($path, [IO.FileMode]::Open, [IO.FileAccess]::Read, $share)
    try {
        $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($stream)
        "sha256=$([BitConverter]::ToString($hash).Replace('-', '').ToLowerInvariant())"
    } finally {
        $stream.Close()
    }
}
"clock=$((Get-Date).ToString('yyyy-MM-dd HH:mm:ss zzz').Remove(23, 1))"
