package qupath.lib.gui.tools

import qupath.lib.io.PathObject

class MeasurementMapper {
    final String measurement
    final List<Double> values

    MeasurementMapper(Object mapper, String measurement, Collection<? extends PathObject> pathObjects) {
        assert mapper.name == 'Viridis'
        this.measurement = measurement
        values = pathObjects.collect { it.getMeasurements()[measurement].doubleValue() }
    }

    double getDataMinValue() { return values.min() }

    double getDataMaxValue() { return values.max() }
}
