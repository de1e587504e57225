// @ts-check
// The offline page with the network in it: the viewer, and below it surgery.
import { mountViewer } from "../viewer/viewer.js";
import { mountSurgery } from "./surgery.js";

/** @import { ViewerData } from "../viewer/viewer.js" */
/** @import { SurgeryData } from "./surgery.js" */

/**
 * @param {HTMLElement} viewer
 * @param {ViewerData} panels
 * @param {string} bytes of the panels, in base64
 * @param {HTMLElement} surgery
 * @param {SurgeryData} data
 * @param {string} picture in base64
 * @param {string} network its file, in base64
 */
export default function mountLaboratory(viewer, panels, bytes, surgery, data, picture, network) {
  mountViewer(viewer, panels, bytes);
  mountSurgery(surgery, data, picture, network);
}
