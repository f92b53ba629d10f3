// Photos as points in the plane where they differ most, with the texts of their classes among them.
const SIZE = 600, EDGE = 60, HUES = 137.508;

export default {
  props: { points: Array, texts: Array, base: String },
  emits: ["open"],
  data: () => ({ near: null, only: -1 }),
  template: `
    <div class="photo-map">
      <svg viewBox="0 0 ${SIZE} ${SIZE}" role="group" aria-label="Map of the photos; photos that look alike to CLIP lie close">
        <circle v-for="point in points" :key="point.file" :cx="at(point.x)" :cy="at(-point.y)" r="5" :fill="hue(point.label)"
          :opacity="only < 0 || only === point.label ? 0.8 : 0.08" @mouseenter="near = point" @mouseleave="near = null"
          tabindex="0" role="button" :aria-label="'Photo of ' + texts[point.label]?.name" @focus="near = point" @blur="near = null"
          @click="$emit('open', point.file)" @keydown.enter="$emit('open', point.file)"></circle>
        <g v-for="(text, i) in texts" v-show="only < 0 || only === i">
          <path :d="'M' + at(text.x) + ' ' + (at(-text.y) - 7) + 'l6 7-6 7-6-7z'" :fill="hue(i)" class="text-mark"></path>
          <text :x="at(text.x)" :y="at(-text.y) - 11" text-anchor="middle">{{ text.name }}</text>
        </g>
      </svg>
      <figure v-if="near" aria-hidden="true"><img :src="base + '/thumbnail/' + near.file" alt=""><figcaption>{{ texts[near.label]?.name }}</figcaption></figure>
      <div class="legend">
        <button v-for="(text, i) in texts" type="button" :aria-pressed="only === i" @click="only = only === i ? -1 : i">
          <i :style="{ background: hue(i) }"></i>{{ text.name }}
        </button>
      </div>
    </div>`,
  methods: {
    at: (value) => SIZE / 2 + value * (SIZE / 2 - EDGE),
    hue: (label) => `hsl(${(label * HUES) % 360} 65% 52%)`,
  },
};
