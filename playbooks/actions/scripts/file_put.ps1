# Puts what is packed in $packed (base64) under $path, whole or not at all.
$ErrorActionPreference = 'Stop'
$file = $path + '.longarm-new'
[IO.File]::WriteAllBytes($file, [Convert]::FromBase64String($packed))
if ($validate) {
    & ([ScriptBlock]::Create($validate))
    if (-not $?) {
        Remove-Item -LiteralPath $file -Force
        throw 'the new content is not valid'
    }
}
if (Test-Path -LiteralPath $path) {
    [IO.File]::Replace($file, $path, $null)
} else {
    [IO.File]::Move($file, $path)
}
