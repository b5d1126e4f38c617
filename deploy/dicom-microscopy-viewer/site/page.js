// A page around dicom-microscopy-viewer: the slide of a study, and a switch for every map, segment and annotation group.
// Address: /?study=<StudyInstanceUID>, and &series=<SeriesInstanceUID> to choose among several slides.
const { metadata: kinds, viewer: viewers } = window.dicomMicroscopyViewer;
const client = new window.DICOMwebClient.api.DICOMwebClient({ url: `${window.location.origin}@DICOMWEB_PATH@` });
const status = document.getElementById('status');
const problems = [];

const text = (dataset, tag) => dataset[tag]?.Value?.[0] ?? '';
const MODALITY = '00080060', SERIES = '0020000E', NUMBER = '00200011', DESCRIPTION = '0008103E', SOP_CLASS = '00080016';
const PARAMETRIC_MAP = '1.2.840.10008.5.1.4.1.1.30';
const LABEL_MAP = '1.2.840.10008.5.1.4.1.1.66.7'; // which dicom-microscopy-viewer does not know

function report(problem) {
  problems.push(String(problem?.message ?? problem));
  console.error(problem);
  status.textContent = problems.join(' · ');
  return problem;
}

function retrieve(study, series) {
  return client.retrieveSeriesMetadata({ studyInstanceUID: study, seriesInstanceUID: text(series, SERIES) });
}

async function openSlide(study, series) {
  const images = (await retrieve(study, series))
    .map((metadata) => new kinds.VLWholeSlideMicroscopyImage({ metadata }))
    .filter((image) => ['VOLUME', 'THUMBNAIL'].includes(image.ImageType[2]));
  const slide = new viewers.VolumeImageViewer({
    client,
    metadata: images,
    errorInterceptor: report,
  });
  const map = slide.getMap();
  const attached = new Promise((resolve) => map.once('change:target', resolve));
  slide.render({ container: document.getElementById('viewport') });
  await attached; // layers shown earlier get no pixels
  return slide;
}

const translucent = new Map(); // uid of each map and segment that is shown -> how its opacity is set
const opacity = () => Number(document.getElementById('opacity').value);

/** Every layer of a series: its name, its color if it has one, and how it is switched. */
const READERS = {
  OT(slide, instances) {
    const maps = instances.filter((instance) => text(instance, SOP_CLASS) === PARAMETRIC_MAP);
    if (!maps.length) return [];
    const before = new Set(slide.getAllParameterMappings().map((mapping) => mapping.uid));
    slide.addParameterMappings(maps.map((metadata) => new kinds.ParametricMap({ metadata })));
    return slide
      .getAllParameterMappings()
      .filter((mapping) => !before.has(mapping.uid))
      .map((mapping) => ({
        label: mapping.label,
        show() {
          translucent.set(mapping.uid, (style) => slide.setParameterMappingStyle(mapping.uid, style));
          slide.showParameterMapping(mapping.uid, { opacity: opacity() });
        },
        hide() {
          translucent.delete(mapping.uid);
          slide.hideParameterMapping(mapping.uid);
        },
      }));
  },
  SEG(slide, instances) {
    const segmentations = instances.filter((instance) => text(instance, SOP_CLASS) !== LABEL_MAP);
    if (!segmentations.length) return [];
    const before = new Set(slide.getAllSegments().map((segment) => segment.uid));
    slide.addSegments(segmentations.map((metadata) => new kinds.Segmentation({ metadata })));
    return slide
      .getAllSegments()
      .filter((segment) => !before.has(segment.uid))
      .map((segment) => ({
        label: segment.label,
        show() {
          translucent.set(segment.uid, (style) => slide.setSegmentStyle(segment.uid, style));
          slide.showSegment(segment.uid, { opacity: opacity() });
        },
        hide() {
          translucent.delete(segment.uid);
          slide.hideSegment(segment.uid);
        },
      }));
  },
  ANN(slide, instances) {
    const before = new Set(slide.getAllAnnotationGroups().map((group) => group.uid));
    for (const metadata of instances) {
      slide.addAnnotationGroups(new kinds.MicroscopyBulkSimpleAnnotations({ metadata }));
    }
    return slide
      .getAllAnnotationGroups()
      .filter((group) => !before.has(group.uid))
      .map((group) => ({
        label: group.label,
        color: slide.getAnnotationGroupStyle(group.uid).color,
        show: () => slide.showAnnotationGroup(group.uid),
        hide: () => slide.hideAnnotationGroup(group.uid),
      }));
  },
};

function list(title, modality, layers) {
  const section = document.createElement('section');
  const heading = document.createElement('h2');
  section.dataset.modality = modality;
  heading.textContent = title;
  const rows = layers.map((layer) => {
    const row = document.createElement('label');
    const box = document.createElement('input');
    const name = document.createElement('span');
    row.className = 'layer';
    box.type = 'checkbox';
    box.addEventListener('change', () => (box.checked ? layer.show() : layer.hide()));
    name.textContent = layer.label;
    row.append(box);
    if (layer.color) {
      const swatch = document.createElement('span');
      swatch.className = 'swatch';
      swatch.style.background = `rgb(${layer.color.join(',')})`;
      row.append(swatch);
    }
    row.append(name);
    return row;
  });
  if (!rows.length) {
    rows.push(document.createTextNode('This viewer does not show it.'));
  }
  section.append(heading, ...rows);
  document.getElementById('layers').append(section);
}

async function main() {
  const wanted = new URLSearchParams(window.location.search);
  const study = wanted.get('study');
  if (!study) {
    throw new Error('Add ?study=<StudyInstanceUID> to the address.');
  }
  const all = await client.searchForSeries({ studyInstanceUID: study });
  all.sort((one, other) => Number(text(one, NUMBER)) - Number(text(other, NUMBER)));
  const slides = all.filter((series) => text(series, MODALITY) === 'SM');
  const chosen = slides.find((series) => text(series, SERIES) === wanted.get('series')) ?? slides[0];
  if (!chosen) {
    throw new Error('This study has no slide.');
  }
  const choice = document.getElementById('slides');
  for (const series of slides) {
    const name = text(series, DESCRIPTION) || `Slide, series ${text(series, NUMBER)}`;
    choice.add(new Option(name, text(series, SERIES), false, series === chosen));
  }
  choice.addEventListener('change', () => {
    wanted.set('series', choice.value);
    window.location.search = wanted.toString();
  });

  const slide = await openSlide(study, chosen);
  window.slide = slide; // for whoever opens the console
  for (const series of all) {
    const modality = text(series, MODALITY);
    if (!(modality in READERS)) continue;
    try {
      const layers = READERS[modality](slide, await retrieve(study, series));
      list(text(series, DESCRIPTION) || modality, modality, layers);
    } catch (problem) {
      report(problem);
    }
  }
  document.getElementById('opacity').addEventListener('input', () => {
    for (const setStyle of translucent.values()) {
      setStyle({ opacity: opacity() });
    }
  });
  if (!problems.length) {
    status.textContent = 'Ready';
  }
}

main().catch(report);
