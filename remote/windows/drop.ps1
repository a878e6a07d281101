# Removes what is kept of detached commands, once the fence says how they ended; tells the ids of which nothing is left. bundle.py
# writes $LaForget (ids) and $LaGrace before it. Behind lines.ps1, places.ps1 and told.ps1.
if ($LaNeedsAdmin -and -not $LaAdmin) {
    Write-LaLine 'denied'
    Send-LaLines
    exit 0
}
Invoke-LaTelling {
    $ids = @($LaForget -split ' ' | Where-Object { $_ })
    $read = Invoke-LaHolding {
        if (-not (Read-LaFences)) { return $false }
        foreach ($id in $ids) { Close-LaCommand $id }
        if ($LaKnown.Gone.Count -and (Invoke-LaSomewhere { param($Place) Save-LaFence $Place })) { Remove-LaClosed }
        return $true
    }
    Unlock-LaPlaces
    if (-not $read) { return }
    $left = @($ids | Where-Object { -not (Find-LaCommand $_) })
    $bytes = [Text.Encoding]::UTF8.GetBytes(($left -join "`n") + "`n")
    Send-LaBytes 'out' $bytes $bytes.Length
}
exit 0
