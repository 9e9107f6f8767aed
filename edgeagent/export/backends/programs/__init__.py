"""Programs that run in a backend's interpreter, which has torch but not edgeagent.

They are started by path, import nothing of edgeagent, and report with lines of the form
`@progress DONE TOTAL WHAT` on standard output.
"""
