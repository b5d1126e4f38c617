// Configuration of Slim: one server, the DICOMweb service behind the same origin.
window.config = {
  path: '/',
  servers: [
    {
      id: 'dicomweb',
      url: `${window.location.origin}@DICOMWEB_PATH@`,
      write: false,
    },
  ],
  disableWorklist: false,
  disableAnnotationTools: true,
  enableServerSelection: false,
  mode: 'light',
  preload: true,
  annotations: [],
};
