"""Durable work: the thin seam to the engine (dbos), attempts at jobs, takeover of dead hosts, write-once results."""
