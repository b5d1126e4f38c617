package qupath.lib.io

/** In QuPath this is qupath.lib.objects.PathObject; the script never names it. */
class PathObject {
    private final Map feature

    PathObject(Map feature) { this.feature = feature }

    UUID getID() { return UUID.fromString(feature.id) }

    boolean isTile() { return feature.properties.objectType == 'tile' }

    Map<String, Number> getMeasurements() { return feature.properties.measurements }
}
