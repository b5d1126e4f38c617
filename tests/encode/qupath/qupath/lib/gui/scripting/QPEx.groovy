package qupath.lib.gui.scripting

import qupath.lib.gui.tools.MeasurementMapper
import qupath.lib.io.PathObject

/** One open image, whose reader answers what the test set. */
class QPEx {
    static final ImageData IMAGE = new ImageData()
    static final Viewer VIEWER = new Viewer()

    static ImageData getCurrentImageData() { return IMAGE }

    static Viewer getCurrentViewer() { return VIEWER }

    static class ImageData {
        private final Map<String, Object> properties = [:]
        final PathObjectHierarchy hierarchy = new PathObjectHierarchy()
        final ImageServer server = new ImageServer()

        Object getProperty(String name) { return name in ['hierarchy', 'server'] ? metaClass.getProperty(this, name) : properties[name] }

        void setProperty(String name, Object value) { properties.put(name, value) }
    }

    static class ImageServer {
        String dumpMetadata() { return System.getenv('TEST_METADATA') }

        int getWidth() { return 5000 }
    }

    static class PathObjectHierarchy {
        final List<PathObject> objects = []

        Collection<PathObject> getAllObjects(boolean includeRoot) { return new ArrayList<PathObject>(objects) }

        boolean addObjects(Collection<? extends PathObject> added) { return objects.addAll(added) }

        void removeObjects(Collection<? extends PathObject> removed, boolean keepChildren) { objects.removeAll(removed) }
    }

    static class Viewer {
        final OverlayOptions overlayOptions = new OverlayOptions()
    }

    static class OverlayOptions {
        MeasurementMapper measurementMapper
        boolean fillDetections
        boolean showDetections
    }
}
