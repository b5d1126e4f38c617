package qupath.lib.color

class ColorMaps {
    interface ColorMap { String getName() }

    static Map<String, ColorMap> getColorMaps() { return ['Viridis': ({ 'Viridis' } as ColorMap)] }
}
