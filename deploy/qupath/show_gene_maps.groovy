/*
 * QuPath 0.5 and newer: show predicted gene expression over the slide that is open.
 *
 * Asks a vst_dicom server for the newest result of the open slide, imports its tiles and hotspots in the place of those
 * that it imported before, and colors the tiles by a gene. Open the slide, then Automate > Script editor > Run.
 *
 * For Research Use Only. Not for use in diagnostic procedures.
 */
import javafx.application.Platform
import qupath.fx.dialogs.Dialogs
import qupath.lib.color.ColorMaps
import qupath.lib.gui.scripting.QPEx
import qupath.lib.gui.tools.MeasurementMapper
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO

// What to change; an environment variable of QuPath's process goes before what stands here.
def address = System.getenv('VST_DICOM_URL') ?: 'http://127.0.0.1:8080'
def authorization = System.getenv('VST_DICOM_AUTHORIZATION') ?: ''   // such as 'Bearer …', where a proxy asks for it
def chosen = System.getenv('VST_DICOM_GENE') ?: ''                   // a gene, such as 'ERBB2'; asks if empty
def colors = 'Viridis'

def title = 'Predicted gene expression'
try {
    def imageData = QPEx.getCurrentImageData()
    if (imageData == null)
        throw new IllegalStateException('Open a slide first.')
    def properties = readProperties(imageData.getServer())
    refuseCropped(imageData.getServer(), properties)
    def series = properties['dicom.SeriesInstanceUID'] ?:
        Dialogs.showInputDialog(title, 'Series Instance UID of this slide (its file does not say it):', '')
    if (!series)
        return

    def result = findResult(address, authorization, series.toString().trim())
    def objects = fetch("${address}/api/v1/results/${result.key}/files/tiles.geojson", authorization) { stream ->
        PathIO.readObjectsFromGeoJSON(stream)
    }
    replaceObjects(imageData, objects)

    def tiles = objects.findAll { it.isTile() }
    def names = tiles.isEmpty() ? [] : tiles[0].getMeasurements().keySet().findAll { !it.endsWith(' +/-') } as List
    if (names.isEmpty())
        throw new IllegalStateException('The result has no gene to show.')
    def gene = chosen in names ? chosen : Dialogs.showChoiceDialog(title, 'Color tiles by', names, names[0])
    if (gene) {
        def mapper = new MeasurementMapper(ColorMaps.getColorMaps()[colors], gene, tiles)
        def options = QPEx.getCurrentViewer().getOverlayOptions()
        Platform.runLater {
            options.setFillDetections(true)
            options.setShowDetections(true)
            options.setMeasurementMapper(mapper)
        }
        println String.format(Locale.ROOT, '%s: %d tiles, %.3f to %.3f', gene, tiles.size(),
            mapper.getDataMinValue(), mapper.getDataMaxValue())
    }
    Dialogs.showInfoNotification(title, "${tiles.size()} tiles, ${objects.size() - tiles.size()} hotspots, " +
        "predicted by ${result.bundle}, not measured. For Research Use Only. Not for use in diagnostic procedures.")
} catch (IOException | IllegalStateException error) {
    Dialogs.showErrorMessage(title, error.getMessage() ?: error.toString())
}

/** What OpenSlide says of the file; empty where another reader opened it. */
Map readProperties(imageServer) {
    if (!imageServer.metaClass.respondsTo(imageServer, 'dumpMetadata'))
        return [:]
    try {
        return GsonTools.getInstance().fromJson(imageServer.dumpMetadata(), Map) ?: [:]
    } catch (RuntimeException ignored) {
        return [:]  // Bio-Formats answers XML
    }
}

/** Tiles lie in pixels of the whole base level; QuPath may show a part of it. */
void refuseCropped(imageServer, Map properties) {
    def width = properties['openslide.level[0].width']
    if (width != null && (width as int) != imageServer.getWidth())
        throw new IllegalStateException('QuPath shows a part of this slide. Add it again with the option --no-crop.')
}

/** The newest result of a slide that has tiles. */
Map findResult(String address, String authorization, String series) {
    def query = "${address}/api/v1/results?series_instance_uid=" + URLEncoder.encode(series, 'UTF-8')
    def answer = fetch(query, authorization) { stream ->
        GsonTools.getInstance().fromJson(new InputStreamReader(stream, 'UTF-8').getText(), Map)
    }
    def found = answer.results.findAll { one -> one.files.any { it.name == 'tiles.geojson' } }
    if (found.isEmpty())
        throw new IllegalStateException("The server has no result with tiles for series ${series}.")
    return found.max { java.time.Instant.parse(it.created.toString().replaceFirst(/(?:\+00:?00)?$/, '').replaceFirst(/Z?$/, 'Z')) }
}

/** Give the body of an answer to a reader. */
def fetch(address, String authorization, Closure reader) {
    def connection = new URL(address.toString()).openConnection()
    connection.setConnectTimeout(10000)
    connection.setReadTimeout(120000)
    connection.setRequestProperty('Accept', 'application/json, application/geo+json')
    if (authorization)
        connection.setRequestProperty('Authorization', authorization)
    try {
        def status = connection.getResponseCode()
        if (status != 200)
            throw new IOException("${address} answered ${status}.")
        return connection.getInputStream().withStream(reader)
    } catch (ConnectException | SocketTimeoutException | UnknownHostException error) {
        throw new IOException("${address} cannot be reached (${error.getMessage()}). Set the address at the top of the script.")
    }
}

/** Put objects in the place of those that this script imported before, of this result or an older one. */
void replaceObjects(imageData, objects) {
    def key = 'vst_dicom imported'
    def ids = objects.collect { it.getID().toString() }
    def before = new HashSet(imageData.getProperty(key) ?: []) + ids
    def hierarchy = imageData.getHierarchy()
    hierarchy.removeObjects(hierarchy.getAllObjects(false).findAll { it.getID().toString() in before }, true)
    hierarchy.addObjects(objects)
    imageData.setProperty(key, new ArrayList(ids))
}
