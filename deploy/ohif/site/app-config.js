// Configuration of OHIF: one data source, the DICOMweb service behind the same origin.
const DICOMWEB = `${window.location.origin}@DICOMWEB_PATH@`;

window.config = {
  name: 'vst_dicom',
  routerBasename: null,
  extensions: [],
  modes: [],
  customizationService: {},
  showStudyList: true,
  maxNumberOfWebWorkers: 2,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  showLoadingIndicator: true,
  showErrorDetails: 'always',
  investigationalUseDialog: { option: 'never' }, // the header says it all the time
  whiteLabeling: {
    createLogoComponentFn: React =>
      React.createElement(
        'span',
        { style: { color: '#fff', fontSize: '12px', whiteSpace: 'nowrap' } },
        'OHIF Viewer. For Research Use Only. Not for use in diagnostic procedures.'
      ),
  },
  defaultDataSourceName: 'dicomweb',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb',
      configuration: {
        friendlyName: 'DICOMweb',
        name: 'dicomweb',
        qidoRoot: DICOMWEB,
        wadoRoot: DICOMWEB,
        wadoUriRoot: DICOMWEB,
        qidoSupportsIncludeField: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        staticWado: false, // true asks for frames in a way that makes Orthanc transcode whole slides
        singlepart: 'bulkdata',
        bulkDataURI: { enabled: true },
        omitQuotationForMultipartRequest: false,
      },
    },
  ],
};
