package qupath.lib.io

import groovy.json.JsonException
import groovy.json.JsonSlurper

/** As much of Gson as the script uses; Gson's exceptions for wrong JSON are unchecked too. */
class GsonTools {
    static GsonTools getInstance() { return new GsonTools() }

    def <T> T fromJson(String json, Class<T> type) throws JsonException { return type.cast(new JsonSlurper().parseText(json)) }
}
