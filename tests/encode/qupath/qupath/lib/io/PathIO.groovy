package qupath.lib.io

import groovy.json.JsonSlurper

class PathIO {
    static List<PathObject> readObjectsFromGeoJSON(InputStream stream) throws IOException {
        return new JsonSlurper().parse(stream, 'UTF-8').features.collect { new PathObject(it) }
    }
}
