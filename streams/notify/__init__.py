"""Pages: turns the `alerts` topic into posts to every Alertmanager.

`outbox` decides what to post, `notices` what an alert is called there, `texts` what it says;
`alertmanager` posts, `feed` reads the topic, `service` runs them. It has no state of its own. What an
Alertmanager is told follows from the topic alone: an alert's name there (its labels) and its start are in
each of its records and never change in an episode, so that a second `notify`, or one that was killed and
begins anew, says the same thing again, which Alertmanager takes as one alert.
"""
