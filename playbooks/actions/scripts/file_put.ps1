# Puts what is packed in $packed (base64) under $path, whole or not at all; $validate judges it first. What it says by an error or
# by the status of its last program counts; that a program writes to stderr does not. `exit` ends all of this: nothing is put.
$ErrorActionPreference = 'Stop'
$file = $path + '.longarm-new'
$LaPut = $false
try {
    [IO.File]::WriteAllBytes($file, [Convert]::FromBase64String($packed))
    if ($validate) {
        $LaErrors = 0
        $global:LASTEXITCODE = 0
        & {
            $ErrorActionPreference = 'Continue'
            . ([ScriptBlock]::Create($validate))
        } *>&1 | ForEach-Object {
            if ($_ -is [Management.Automation.ErrorRecord] -and $_.FullyQualifiedErrorId -notlike 'NativeCommandError*') { $LaErrors++ }
            $_
        }
        if ($LaErrors -or $global:LASTEXITCODE) { throw 'the new content is not valid' }
    }
    $LaOld = Get-Item -LiteralPath $path -Force -ErrorAction SilentlyContinue
    if ($null -eq $LaOld) {
        [IO.File]::Move($file, $path)
    } elseif ($LaOld.LinkType -in 'SymbolicLink', 'Junction') {
        # aside until the new one is there: whoever looks at new files may still hold it
        $LaLinks = if ($LaOld.PSIsContainer) { [IO.Directory] } else { [IO.File] }
        $LaAside = $path + '.longarm-old'
        $LaLinks::Move($path, $LaAside)
        try {
            [IO.File]::Move($file, $path)
        } catch {
            $LaLinks::Move($LaAside, $path)
            throw
        }
        $LaLinks::Delete($LaAside)
    } else {
        # $null would arrive as an empty name
        [IO.File]::Replace($file, $path, [NullString]::Value)
    }
    $LaPut = $true
} finally {
    if (-not $LaPut -and [IO.File]::Exists($file)) { [IO.File]::Delete($file) }
}
