# Tells how a detached command stands, once it has ended or $LaWait seconds have passed; bundle.py writes $LaId, $LaWait, $LaAge
# (seconds since it was sent; -1: not known), $LaGrace and what told.ps1 needs before it. Behind lines.ps1, places.ps1 and told.ps1.
function Get-LaFound {
    if ((Read-LaFences) -and -not (Test-LaOver $LaId)) { return Find-LaCommand $LaId }
}

# Tells whether whoever was sent then would be known: up since, and neither swept up nor driven out of a fence. Who asks within ten
# minutes is the one whose commands came and went meanwhile, and has their ends.
function Test-LaRemembers {
    if ($LaAge -lt 0 -or $LaUp -le $LaAge + 1 -or $LaAge -ge 518400) { return $false }
    return $LaAge -lt 600 -or $LaUp - $LaAge -gt $LaKnown.Dropped
}

# A command that is not known here is told to be so, or it might still come.
function Get-LaWithdrawn {
    if (-not (Test-LaRemembers)) { return New-LaStanding 'unknown' 'not_known' '' }
    Add-LaNote $LaId "0 $LaBoot failed not_started -"
    if (Invoke-LaSomewhere { param($Place) Save-LaFence $Place }) { return New-LaStanding 'failed' 'not_started' '' }
    return New-LaStanding 'unknown' 'unreadable' $LaKnown.Why
}

# Under the lock, or who is about to start it would be judged too early.
function Get-LaForGood {
    $place = Get-LaFound
    if ($place) { return Get-LaSettled $place $LaId }
    if (-not (Read-LaFences)) { return New-LaStanding 'unknown' 'unreadable' $LaKnown.Why }
    $remembered = Get-LaRemembered $LaId
    if ($remembered) { return $remembered }
    return Get-LaWithdrawn
}

function Get-LaCollected {
    $place = Get-LaFound
    if ($place) {
        $standing = Wait-LaCommand $place $LaId $LaWait
        if ($standing.Reason -ne 'not_begun' -and $standing.Reason -ne 'gone') { return $standing }
    }
    return Invoke-LaHolding { Get-LaForGood }
}

if ($LaNeedsAdmin -and -not $LaAdmin) {
    Write-LaLine 'denied'
    Send-LaLines
    exit 0
}
Invoke-LaTelling {
    $standing = Get-LaCollected
    Unlock-LaPlaces
    Send-LaAnswer $standing
}
exit 0
