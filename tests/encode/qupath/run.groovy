import qupath.lib.gui.scripting.QPEx

// Runs the script given as often as the first argument says, then prints what QuPath would hold.
def shell = new GroovyShell(this.class.classLoader)
(args[0] as int).times { shell.run(new File(args[1]), [] as String[]) }
def objects = QPEx.IMAGE.hierarchy.getAllObjects(false)
def options = QPEx.VIEWER.overlayOptions
println "held: ${objects.size()} objects, ${objects.collect { it.getID() }.toSet().size()} ids"
println "map: ${options.measurementMapper?.measurement} filled ${options.fillDetections} shown ${options.showDetections}"
